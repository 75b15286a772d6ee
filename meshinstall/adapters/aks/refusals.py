"""What Azure refuses and what to do then: Entra ID by its AADSTS numbers, Resource Manager by its codes. Sources: the pages named here."""

from meshinstall.adapters.cloud.refusals import Refusal

_ENTRA = "https://learn.microsoft.com/entra/identity-platform/reference-error-codes"
_CONDITIONAL = "https://learn.microsoft.com/entra/identity/conditional-access/troubleshoot-conditional-access"
_CLI = "https://learn.microsoft.com/cli/azure/authenticate-azure-cli-interactively"
_TROUBLE = "https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting"
_AGAIN = "az login --tenant TENANT --scope https://management.core.windows.net//.default"

LOGIN_AGAIN = "az logout, then az login --tenant TENANT"

_SIGN_IN = (
    Refusal(
        ("AADSTS50076", "AADSTS50079", "AADSTS50074", "AADSTS50072", "AADSTS53004", "AADSTS50199"),
        "the tenant asks for multi-factor authentication, and the stored login does not have it",
        f"log in again at a browser: {_AGAIN}; a job without a person needs an application or a workload identity instead of a user",
        "https://learn.microsoft.com/entra/identity/authentication/concept-mandatory-multifactor-authentication",
    ),
    Refusal(
        (
            "AADSTS53003",
            "AADSTS53000",
            "AADSTS53001",
            "AADSTS53002",
            "AADSTS53011",
            "AADSTS530003",
            "AADSTS530002",
            "AADSTS530004",
            "AADSTS530034",
            "AADSTS50097",
            "AADSTS50129",
            "AADSTS50131",
            "AADSTS50158",
            "AADSTS700003",
        ),
        "a Conditional Access policy of the tenant refuses this login: a device, a place or a further check that it asks for is missing",
        "log in from a managed device or an allowed network (az login --tenant TENANT), "
        "or ask the tenant's administrators which policy it is: they find it by the Correlation ID in the sign-in logs",
        _CONDITIONAL,
    ),
    Refusal(
        ("AADSTS50173", "AADSTS50133", "AADSTS70043", "AADSTS700082", "AADSTS700084", "AADSTS70008", "AADSTS50089", "AADSTS50078"),
        "the stored login has expired or was revoked (a new password, a sign-in frequency policy, or long disuse)",
        LOGIN_AGAIN,
        _CLI,
    ),
    Refusal(
        ("AADSTS7000215", "AADSTS7000218"),
        "the secret is wrong or missing",
        "check AZURE_CLIENT_SECRET: it must be the secret's value, not its ID, of application AZURE_CLIENT_ID",
        _ENTRA,
    ),
    Refusal(
        ("AADSTS7000222",),
        "the application's secret has expired",
        "make a new secret and set AZURE_CLIENT_SECRET: az ad app credential reset --id $AZURE_CLIENT_ID --append",
        _ENTRA,
    ),
    Refusal(
        ("AADSTS700016", "AADSTS7000229", "AADSTS50194"),
        "the tenant does not have this application",
        "check AZURE_CLIENT_ID, and --tenant or AZURE_TENANT_ID: az ad sp show --id $AZURE_CLIENT_ID",
        _ENTRA,
    ),
    Refusal(
        ("AADSTS700027", "AADSTS700030", "AADSTS1000502"),
        "the certificate or the signature of the application is not valid",
        "check AZURE_CLIENT_CERTIFICATE_PATH, and that its certificate is registered and has not expired: "
        "az ad app credential list --cert --id $AZURE_CLIENT_ID",
        _ENTRA,
    ),
    Refusal(
        ("AADSTS700213", "AADSTS70021", "AADSTS700212", "AADSTS700211"),
        "the application trusts no federated identity with the issuer, subject and audience of this token",
        "compare them with: az ad app federated-credential list --id $AZURE_CLIENT_ID",
        "https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations",
    ),
    Refusal(
        ("AADSTS700024", "AADSTS500133", "AADSTS50027"),
        "the federated token has expired or is not a whole token, or this machine's clock is wrong",
        "check the clock and the age of the file AZURE_FEDERATED_TOKEN_FILE",
        _ENTRA,
    ),
    Refusal(
        ("AADSTS65001", "AADSTS650057", "AADSTS90094", "AADSTS650052"),
        "nobody has consented to what the application asks for in this tenant",
        "ask an administrator of the tenant to consent: az ad app permission admin-consent --id APPLICATION",
        "https://learn.microsoft.com/entra/identity/enterprise-apps/grant-admin-consent",
    ),
    Refusal(
        ("AADSTS90002", "AADSTS900023", "AADSTS90013", "AADSTS50059", "AADSTS50128"),
        "Entra ID does not know the tenant in this cloud",
        "check --tenant or AZURE_TENANT_ID, and the cloud (AZURE_AUTHORITY_HOST): az account show --query tenantId",
        _ENTRA,
    ),
    Refusal(
        ("AADSTS50020", "AADSTS50034", "AADSTS50105", "AADSTS50177", "AADSTS16000", "AADSTS90072"),
        "the account does not exist in this tenant, or is not assigned to the application",
        "log in to the tenant of the cluster (az login --tenant TENANT), or ask its administrators for an invitation as a guest",
        _ENTRA,
    ),
    Refusal(
        ("AADSTS50057", "AADSTS500571", "AADSTS7000112", "AADSTS50053"),
        "the account or the application is disabled or locked",
        "ask an administrator of the tenant to enable it",
        _ENTRA,
    ),
    Refusal(
        ("AADSTS50126", "AADSTS50055", "AADSTS50056"),
        "the user name or the password is wrong, or the password has expired",
        "check AZURE_USERNAME and AZURE_PASSWORD; better, use an application: a password alone is not multi-factor authentication",
        _ENTRA,
    ),
    Refusal(
        ("AADSTS500011", "AADSTS500014", "AADSTS500341", "AADSTS900382"),
        "the tenant does not have what the token is for: mostly the login is of another cloud of Azure than the one that is asked",
        "check the cloud: az cloud show --query name, and AZURE_AUTHORITY_HOST",
        _ENTRA,
    ),
    Refusal(
        ("AADSTS90033", "AADSTS90006", "AADSTS50196", "AADSTS90055", "AADSTS90010", "AADSTS90019"),
        "Entra ID is busy or limits this login",
        "try again in a few minutes",
        _ENTRA,
    ),
)

_MANAGER = (
    Refusal(
        ("AuthorizationFailed", "DenyAssignmentAuthorizationFailed"),
        "a deny assignment forbids it, and no role changes that",
        "ask the owner of the deny assignment (a managed application, a deployment stack or a locked node resource group)",
        "https://learn.microsoft.com/azure/role-based-access-control/deny-assignments",
        "deny assignment",
    ),
    Refusal(
        ("AuthorizationFailed", "LinkedAuthorizationFailed"),
        "the caller has no role for it at this scope",
        "ask an owner of the scope for the role; one that is only eligible must be activated first (Privileged Identity Management)",
        "https://learn.microsoft.com/azure/role-based-access-control/troubleshooting",
    ),
    Refusal(
        ("RequestDisallowedByPolicy", "PolicyViolation", "RequestDisallowedByAzure"),
        "an Azure Policy of the organisation forbids it, and no role changes that",
        "ask the owners of the policy assignment for an exemption: az policy assignment list --disable-scope-strict-match",
        f"{_TROUBLE}/error-policy-requestdisallowedbypolicy",
    ),
    Refusal(
        ("ScopeLocked",),
        "a lock on the cluster, its resource group or its subscription forbids it: "
        "a ReadOnly lock also forbids asking for credentials, which is a POST",
        "ask the owner to replace the ReadOnly lock by CanNotDelete: az lock list --resource-group GROUP",
        "https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources",
    ),
    Refusal(
        ("MissingSubscriptionRegistration", "SubscriptionNotRegistered"),
        "the subscription has never used AKS",
        "ask an owner of it: az provider register --namespace Microsoft.ContainerService --subscription SUBSCRIPTION",
        f"{_TROUBLE}/error-register-resource-provider",
    ),
    Refusal(
        ("ReadOnlyDisabledSubscription", "DisabledSubscription", "SubscriptionDisabled"),
        "the subscription is disabled (its credit, its payment or its owner's decision)",
        "ask its owner to enable it again: az account list --all -o table shows its state",
        "https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-disabled",
    ),
    Refusal(
        ("SubscriptionNotFound", "InvalidSubscriptionId"),
        "the subscription does not exist, or you cannot see it",
        "list what exists: az account list --all -o table; for a subscription of another tenant add --tenant TENANT",
        "https://learn.microsoft.com/azure/role-based-access-control/troubleshooting",
    ),
    Refusal(
        ("ResourceGroupNotFound",),
        "the resource group does not exist",
        "list what exists: az group list -o table",
        f"{_TROUBLE}/error-not-found",
    ),
    Refusal(
        ("ResourceNotFound",),
        "there is no such cluster in the resource group",
        "list what exists: az aks list -o table",
        f"{_TROUBLE}/error-not-found",
    ),
    Refusal(
        ("BadRequest",),
        "the cluster has its local accounts disabled, and no Entra ID that guards it",
        "ask its owner to turn on Entra ID: az aks update --enable-aad --name NAME --resource-group GROUP",
        "https://learn.microsoft.com/azure/aks/manage-local-accounts-managed-azure-ad",
        "local accounts",
    ),
    Refusal(
        ("OperationNotAllowed",),
        "the cluster is stopped",
        "start it: az aks start --name NAME --resource-group GROUP",
        "https://learn.microsoft.com/azure/aks/start-stop-cluster",
        "stopped",
    ),
    Refusal(
        ("NoRegisteredProviderFound", "InvalidApiVersionParameter", "InvalidResourceType", "LocationNotAvailableForResourceType"),
        "this cloud of Azure does not have the version of the AKS API that the installed SDK asks for",
        "install the SDK in another version that this Python package allows: pip install azure-mgmt-containerservice",
        f"{_TROUBLE}/error-invalid-template",
    ),
    Refusal(
        ("InvalidAuthenticationTokenTenant",),
        "the token is of another tenant than the subscription",
        "use the tenant of the subscription: --tenant TENANT (az login --tenant TENANT if az does not know it), or set AZURE_TENANT_ID",
        f"{_TROUBLE}/overview",
    ),
    Refusal(
        ("ExpiredAuthenticationToken",),
        "the token has expired",
        "check this machine's clock, then run az login again",
        f"{_TROUBLE}/overview",
    ),
    Refusal(
        ("InvalidAuthenticationTokenAudience",),
        "the token is for another cloud of Azure",
        "check AZURE_AUTHORITY_HOST, and az cloud show --query name",
        f"{_TROUBLE}/overview",
    ),
    Refusal(
        ("InvalidAuthenticationToken", "AuthenticationFailed"),
        "Azure does not accept the token",
        "az login again, or check AZURE_TENANT_ID and AZURE_CLIENT_ID",
        f"{_TROUBLE}/overview",
    ),
    Refusal(
        ("TooManyRequests", "SubscriptionRequestsThrottled", "ResourceCollectionRequestsThrottled", "ResourceRequestsThrottled"),
        "Azure limits how often it is asked, for all programs of the caller together",
        "try again in a few minutes, and ask for fewer subscriptions at a time: --subscription ID",
        "https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling",
    ),
)

TABLE = (*_SIGN_IN, *_MANAGER)
