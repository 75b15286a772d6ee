"""AWS's answers on the wire: JSON, and the XML of its query APIs."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from testbed.clouds.eks_identity import Identity, RefusedError

# Status, headers, body.
Answer = tuple[int, Mapping[str, str], bytes]


def json_answer(body: object) -> Answer:
    """An answer of the JSON APIs."""
    return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


def xml_answer(action: str, result: Mapping[str, Any]) -> Answer:
    """An answer of the query APIs."""
    text = f"<{action}Response><{action}Result>{_elements(result)}</{action}Result></{action}Response>"
    return 200, {"Content-Type": "text/xml"}, text.encode()


def error(service: str, refusal: RefusedError) -> Answer:
    """A refusal in the words of a service."""
    if service == "ec2":
        inner = f"<Errors><Error><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error></Errors>"
        return refusal.status, {"Content-Type": "text/xml"}, f"<Response>{inner}<RequestID>t</RequestID></Response>".encode()
    if service == "sts":
        inner = f"<Error><Type>Sender</Type><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error>"
        return refusal.status, {"Content-Type": "text/xml"}, f"<ErrorResponse>{inner}<RequestId>t</RequestId></ErrorResponse>".encode()
    body = json.dumps({"message": refusal.message}).encode()
    return refusal.status, {"Content-Type": "application/json", "x-amzn-errortype": refusal.code}, body


def assumed(action: str, session: Identity, ends: datetime) -> Answer:
    """What STS gives to somebody who has assumed a role."""
    credentials = {
        "AccessKeyId": session.access_key,
        "SecretAccessKey": session.secret,
        "SessionToken": session.token,
        "Expiration": stamp(ends),
    }
    return xml_answer(action, {"Credentials": credentials, "AssumedRoleUser": {"AssumedRoleId": session.user_id, "Arn": session.arn}})


def stamp(moment: datetime) -> str:
    """A time in UTC as AWS writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _elements(of: Mapping[str, Any]) -> str:
    return "".join(f"<{key}>{_elements(value) if isinstance(value, dict) else value}</{key}>" for key, value in of.items())
