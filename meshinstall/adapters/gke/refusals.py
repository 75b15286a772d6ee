"""What Google's refusals mean, by their codes: reasons of google.rpc.ErrorInfo, and of tokens those of RFC 6749 and 8693.

Words in capitals in ``do`` are filled in where the answer says them: SERVICE, PERMISSION, and CONSUMER, the project that a call is
counted for. Sources: google/api/error_reason.proto, the pages named with each, and gcloud's own explanations.
"""

from meshinstall.adapters.cloud.refusals import Refusal

_DOCS = "https://cloud.google.com"
_LOGIN = "gcloud auth application-default login"
_QUOTA = f"{_DOCS}/docs/quotas/set-quota-project"
_REASONS = f"{_DOCS}/service-usage/docs/reference/rpc/google.api#errorreason"
_KEY = f"{_DOCS}/iam/docs/troubleshoot-iam-credentials"
_FEDERATION = f"{_DOCS}/iam/docs/troubleshooting-workload-identity-federation"
_ADMIN = "ask an administrator of the organisation"

# Codes after which another login helps.
LOGIN = frozenset(
    {
        "ACCESS_TOKEN_EXPIRED",
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        "ACCESS_TOKEN_TYPE_UNSUPPORTED",
        "ACCOUNT_STATE_INVALID",
        "CREDENTIALS_MISSING",
        "SESSION_COOKIE_INVALID",
    }
)
# Codes after which waiting helps.
WAIT = frozenset({"RATE_LIMIT_EXCEEDED", "RESOURCE_QUOTA_EXCEEDED"})

TABLE = (
    Refusal(
        ("SERVICE_DISABLED",),
        "the API is off in the project that the call is counted for, which may be the login's quota project instead of the cluster's",
        "gcloud services enable SERVICE --project=CONSUMER; or count calls for another project: --quota-project",
        f"{_DOCS}/apis/docs/troubleshooting",
    ),
    Refusal(
        ("USER_PROJECT_DENIED",),
        "the caller may not count calls for the quota project CONSUMER: serviceusage.services.use is missing there",
        "give the caller roles/serviceusage.serviceUsageConsumer in project CONSUMER, or choose another project: --quota-project",
        _QUOTA,
    ),
    Refusal(
        ("SECURITY_POLICY_VIOLATED",),
        "a perimeter of VPC Service Controls refuses it; no role of the caller changes that",
        "ask the administrators of the perimeter for an ingress rule or access level, and give them the unique identifier;"
        " or run inside the perimeter",
        f"{_DOCS}/vpc-service-controls/docs/troubleshooter",
    ),
    Refusal(
        (
            "RESOURCE_USAGE_RESTRICTION_VIOLATED",
            "LOCATION_POLICY_VIOLATED",
            "LOCATION_ORG_POLICY_VIOLATED",
            "ORG_RESTRICTION_VIOLATION",
            "ENDPOINT_USAGE_RESTRICTION_VIOLATED",
            "TLS_ORG_POLICY_VIOLATED",
            "TLS_CIPHER_RESTRICTION_VIOLATED",
        ),
        "an organisation policy refuses it; no role of the caller changes that",
        f"{_ADMIN} for the constraint that is named: gcloud org-policies describe CONSTRAINT --project=PROJECT --effective",
        f"{_DOCS}/resource-manager/docs/organization-policy/overview",
    ),
    Refusal(
        ("IAM_PERMISSION_DENIED",),
        "an IAM deny policy takes the permission away, whatever role the caller has",
        f"{_ADMIN} for an exception: gcloud iam policies list --kind=denypolicies --attachment-point=RESOURCE",
        f"{_DOCS}/iam/docs/deny-overview",
        says="deny polic",
    ),
    Refusal(
        ("IAM_PERMISSION_DENIED",),
        "the caller lacks the permission; a role with it may be bound under a condition that does not hold, or a deny policy or a"
        " principal access boundary may take it away",
        "give the caller PERMISSION (docs/clouds/gke/role.yaml has all permissions); if it has it already:"
        " gcloud policy-troubleshoot iam RESOURCE --permission=PERMISSION --principal-email=EMAIL",
        f"{_DOCS}/iam/docs/troubleshoot-policies",
    ),
    Refusal(
        ("BILLING_DISABLED",),
        "billing is off for the project CONSUMER",
        "ask its owner to link a billing account: gcloud billing projects link CONSUMER --billing-account=ACCOUNT",
        f"{_DOCS}/billing/docs/how-to/modify-project",
    ),
    Refusal(
        ("CONSUMER_INVALID", "RESOURCE_PROJECT_INVALID"),
        "the project CONSUMER does not exist, or is being deleted",
        "check the project and the quota project: gcloud projects describe CONSUMER",
        _REASONS,
    ),
    Refusal(
        ("CONSUMER_SUSPENDED", "GCP_SUSPENDED"),
        "Google has suspended the project CONSUMER or its account",
        "ask its owner to appeal in the Google Cloud console",
        f"{_DOCS}/resource-manager/docs/project-suspension-guidelines",
    ),
    Refusal(
        ("SERVICE_NOT_VISIBLE",),
        "the service SERVICE is not visible to the caller or to the project CONSUMER",
        f"{_ADMIN}, or choose another project: --quota-project",
        _REASONS,
    ),
    Refusal(
        ("USER_BLOCKED_BY_ADMIN",),
        "an administrator has blocked the caller's account or its access to this service",
        f"{_ADMIN} of the caller's account",
        _REASONS,
    ),
    Refusal(
        ("RATE_LIMIT_EXCEEDED", "RESOURCE_QUOTA_EXCEEDED"),
        "a quota of the project CONSUMER is used up",
        "wait a minute, then repeat the command; a higher quota is asked for in the project that calls are counted for",
        f"{_DOCS}/docs/quotas/view-manage",
    ),
    Refusal(
        ("ACCESS_TOKEN_SCOPE_INSUFFICIENT",),
        "the token lacks the scope cloud-platform; a Compute Engine machine has the scopes that it was started with",
        f"start the machine with --scopes=cloud-platform,userinfo-email; or log in: {_LOGIN}",
        f"{_DOCS}/compute/docs/access/service-accounts#accesscopesiam",
    ),
    Refusal(
        ("ACCESS_TOKEN_EXPIRED", "ACCESS_TOKEN_TYPE_UNSUPPORTED", "CREDENTIALS_MISSING", "SESSION_COOKIE_INVALID"),
        "Google does not accept the access token",
        f"log in: {_LOGIN}",
        _REASONS,
    ),
    Refusal(
        ("ACCOUNT_STATE_INVALID",),
        "the caller's account is disabled or deleted",
        "ask for it: gcloud iam service-accounts enable EMAIL; or log in as somebody else",
        f"{_DOCS}/iam/docs/service-accounts-disable-enable",
    ),
    Refusal(
        ("invalid_rapt", "rapt_required"),
        "the organisation asks for a new proof of the person (reauthentication); a pipeline cannot give it",
        f"log in again at a terminal: {_LOGIN}; for a pipeline use workload identity federation or a service account",
        f"{_DOCS}/docs/authentication/reauthentication",
    ),
    Refusal(
        ("access_denied",),
        "Context-Aware Access refuses this machine, network or account (Account restricted)",
        f"{_ADMIN} which devices and networks are allowed, or run on one of them",
        "https://support.google.com/a/answer/9275380",
    ),
    Refusal(
        ("admin_policy_enforced", "org_internal"),
        "the organisation does not allow this application for the caller's account",
        f"{_ADMIN} to trust the Google Cloud SDK (API controls of the Admin console)",
        "https://support.google.com/a/answer/7281227",
    ),
    Refusal(
        ("invalid_grant",),
        "the service account or its key is disabled or deleted, or this machine's clock is wrong",
        "gcloud iam service-accounts keys list --iam-account=EMAIL; the clock: timedatectl;"
        " if an organisation policy ends keys, use workload identity federation",
        _KEY,
        says="JWT",
    ),
    Refusal(
        ("invalid_grant",),
        "the service account of the key does not exist any more",
        "use a key of an account that exists: gcloud iam service-accounts list --project=PROJECT",
        _KEY,
        says="account not found",
    ),
    Refusal(
        ("unauthorized_client",),
        "the job's own token does not meet the attribute condition of the pool's provider",
        "gcloud iam workload-identity-pools providers describe PROVIDER --workload-identity-pool=POOL --location=global",
        _FEDERATION,
        says="attribute condition",
    ),
    Refusal(
        ("invalid_target",),
        "the pool or provider that the credentials name is disabled or deleted",
        "gcloud iam workload-identity-pools providers list --workload-identity-pool=POOL --location=global --show-deleted",
        _FEDERATION,
    ),
    Refusal(
        ("invalid_scope", "invalid_client", "invalid_request", "unauthorized_client"),
        "the credentials cannot be used for these scopes, or are incomplete",
        f"log in: {_LOGIN}; or set GOOGLE_APPLICATION_CREDENTIALS to a key or federation file",
        _KEY,
    ),
    Refusal(
        ("invalid_grant",),
        "the login has expired or was revoked; a service account's key is also refused when this machine's clock is wrong",
        f"log in: {_LOGIN}; check the clock: timedatectl",
        _KEY,
    ),
)
