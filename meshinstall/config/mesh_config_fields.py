"""Fields of Istio's MeshConfig and of the messages in it, as NAME:TYPE; scripts/mesh_config.py writes this file.

Types: text, bool, int, uint, float, duration and any; enum(A|B) by name; list(T) and map(T); a message by its name.

From istio.io/api 1.31.1.
"""

# ruff: noqa: E501

from collections.abc import Mapping

# The minor of Istio that has them.
MINOR = "1.31"

FIELDS: Mapping[str, str] = {
    "AttemptCount": "disabled:bool",
    "CA": "address:text istiodSide:bool requestTimeout:duration tlsSettings:ClientTLSSettings",
    "Certificate": "dnsNames:list(text) secretName:text",
    "CertificateData": "certSigners:list(text) pem:text spiffeBundleUrl:text trustDomains:list(text)",
    "ClientTLSSettings": (
        "caCertificates:text caCrl:text clientCertificate:text credentialName:text insecureSkipVerify:bool "
        "mode:enum(DISABLE|SIMPLE|MUTUAL|ISTIO_MUTUAL) privateKey:text sni:text subjectAltNames:list(text) "
    ),
    "ConfigSource": "address:text subscribedResources:list(enum(SERVICE_REGISTRY)) tlsSettings:ClientTLSSettings",
    "ConnectionKeepalive": "interval:duration timeout:duration",
    "ConnectionPoolSettings": "http:HTTPSettings tcp:TCPSettings",
    "ConnectionSettings": (
        "clusterPerConnectionBufferLimitBytes:int globalDownstreamConnectionLimit:int http2InitialConnectionWindowSize:int "
        "http2InitialStreamWindowSize:int httpDrainTimeout:duration "
        "httpHeadersWithUnderscoresAction:enum(HEADERS_WITH_UNDERSCORES_UNSPECIFIED|HEADERS_WITH_UNDERSCORES_ALLOW|HEADERS_WITH_UNDERSCORES_REJECT_REQUEST|HEADERS_WITH_UNDERSCORES_DROP_HEADER) "
        "httpIdleTimeout:duration httpMaxConcurrentStreams:int httpMaxConnectionDuration:duration httpMaxStreamDuration:duration "
        "httpMergeSlashes:bool "
        "httpPathWithEscapedSlashesAction:enum(PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED|KEEP_UNCHANGED|REJECT_REQUEST|UNESCAPE_AND_REDIRECT|UNESCAPE_AND_FORWARD) "
        "httpRequestHeadersTimeout:duration httpRequestTimeout:duration httpStreamIdleTimeout:duration "
        "listenerConnectionLimit:int listenerPerConnectionBufferLimitBytes:int profile:enum(SIDECAR|EDGE) "
    ),
    "CryptoMb": "fallback:bool pollDelay:duration",
    "CustomTag": "environment:Environment header:RequestHeader literal:Literal",
    "Datadog": "address:text",
    "DatadogTracingProvider": "maxTagLength:uint port:uint service:text",
    "DefaultProviders": "accessLogging:list(text) metrics:list(text) tracing:list(text)",
    "DefaultTrafficPolicy": "connectionPool:ConnectionPoolSettings outlierDetection:OutlierDetection",
    "Distribute": "from:text to:map(uint)",
    "DynatraceApi": "http:HttpService port:uint service:text",
    "DynatraceResourceDetector": "",
    "DynatraceSampler": "clusterId:int httpService:DynatraceApi rootSpansPerMinute:uint tenant:text",
    "Environment": "defaultValue:text name:text",
    "EnvironmentResourceDetector": "",
    "EnvoyDebugHeaders": "disabled:bool",
    "EnvoyExternalAuthorizationGrpcProvider": (
        "clearRouteCache:bool failOpen:bool includeRequestBodyInCheck:EnvoyExternalAuthorizationRequestBody port:uint "
        "service:text statusOnError:text timeout:duration "
    ),
    "EnvoyExternalAuthorizationHttpProvider": (
        "clearRouteCache:bool failOpen:bool headersToDownstreamOnAllow:list(text) headersToDownstreamOnDeny:list(text) "
        "headersToUpstreamOnAllow:list(text) includeAdditionalHeadersInCheck:map(text) includeHeadersInCheck:list(text) "
        "includeRequestBodyInCheck:EnvoyExternalAuthorizationRequestBody includeRequestHeadersInCheck:list(text) pathPrefix:text "
        "port:uint service:text statusOnError:text timeout:duration "
    ),
    "EnvoyExternalAuthorizationRequestBody": "allowPartialMessage:bool maxRequestBytes:uint packAsBytes:bool",
    "EnvoyFileAccessLogProvider": "logFormat:EnvoyFileAccessLogProvider.LogFormat omitEmptyValues:bool path:text",
    "EnvoyFileAccessLogProvider.LogFormat": "labels:any text:text",
    "EnvoyHttpGrpcV3LogProvider": (
        "additionalRequestHeadersToLog:list(text) additionalResponseHeadersToLog:list(text) "
        "additionalResponseTrailersToLog:list(text) filterStateObjectsToLog:list(text) logName:text port:uint service:text "
    ),
    "EnvoyOpenTelemetryLogProvider": "logFormat:EnvoyOpenTelemetryLogProvider.LogFormat logName:text port:uint service:text",
    "EnvoyOpenTelemetryLogProvider.LogFormat": "labels:any text:text",
    "EnvoyTcpGrpcV3LogProvider": "filterStateObjectsToLog:list(text) logName:text port:uint service:text",
    "ExecHealthCheckConfig": "command:list(text)",
    "ExtensionProvider": (
        "datadog:DatadogTracingProvider envoyExtAuthzGrpc:EnvoyExternalAuthorizationGrpcProvider "
        "envoyExtAuthzHttp:EnvoyExternalAuthorizationHttpProvider envoyFileAccessLog:EnvoyFileAccessLogProvider "
        "envoyHttpAls:EnvoyHttpGrpcV3LogProvider envoyOtelAls:EnvoyOpenTelemetryLogProvider envoyTcpAls:EnvoyTcpGrpcV3LogProvider "
        "lightstep:LightstepTracingProvider name:text opencensus:OpenCensusAgentTracingProvider "
        "opentelemetry:OpenTelemetryTracingProvider prometheus:PrometheusMetricsProvider sds:SDSProvider "
        "skywalking:SkyWalkingTracingProvider stackdriver:StackdriverProvider zipkin:ZipkinTracingProvider "
    ),
    "GrpcHealthCheckConfig": "port:uint service:text",
    "GrpcService": "initialMetadata:list(HttpHeader) timeout:duration",
    "HTTPHeader": "name:text value:text",
    "HTTPHealthCheckConfig": "host:text httpHeaders:list(HTTPHeader) path:text port:uint scheme:text",
    "HTTPRetry": (
        "attempts:int backoff:duration perTryTimeout:duration retryIgnorePreviousHosts:bool retryOn:text retryRemoteLocalities:bool "
    ),
    "HTTPSettings": (
        "h2UpgradePolicy:enum(DEFAULT|DO_NOT_UPGRADE|UPGRADE) http1MaxPendingRequests:int http2KeepAlive:ConnectionKeepalive "
        "http2MaxRequests:int idleTimeout:duration maxConcurrentStreams:int maxRequestsPerConnection:int maxRetries:int "
        "useClientProtocol:bool "
    ),
    "HttpHeader": "envName:text name:text value:text",
    "HttpService": "headers:list(HttpHeader) path:text timeout:duration",
    "InboundTrafficPolicy": "mode:enum(PASSTHROUGH|LOCALHOST)",
    "LabelSelector": "matchExpressions:list(LabelSelectorRequirement) matchLabels:map(text)",
    "LabelSelectorRequirement": "key:text operator:text values:list(text)",
    "Lightstep": "accessToken:text address:text",
    "LightstepTracingProvider": "accessToken:text maxTagLength:uint port:uint service:text",
    "Literal": "value:text",
    "LocalityLoadBalancerSetting": "distribute:list(Distribute) enabled:bool failover:list(LocalityLoadBalancerSetting.Failover) failoverPriority:list(text)",
    "LocalityLoadBalancerSetting.Failover": "from:text to:text",
    "Logging": "labels:map(text)",
    "MatchRule": "namespaceSelector:LabelSelector",
    "MeshConfig": (
        "accessLogEncoding:enum(TEXT|JSON) accessLogFile:text accessLogFormat:text ca:CA caCertificates:list(CertificateData) "
        "certificates:list(Certificate) configSources:list(ConfigSource) connectTimeout:duration defaultConfig:ProxyConfig "
        "defaultDestinationRuleExportTo:list(text) defaultHttpRetryPolicy:HTTPRetry defaultProviders:DefaultProviders "
        "defaultServiceExportTo:list(text) defaultTrafficPolicy:DefaultTrafficPolicy defaultVirtualServiceExportTo:list(text) "
        "disableEnvoyListenerLog:bool discoverySelectors:list(LabelSelector) dnsRefreshRate:duration enableAutoMtls:bool "
        "enableEnvoyAccessLogService:bool enablePrometheusMerge:bool enableTracing:bool "
        "extensionProviders:list(ExtensionProvider) h2UpgradePolicy:enum(DO_NOT_UPGRADE|UPGRADE) hboneIdleTimeout:duration "
        "inboundClusterStatName:text inboundTrafficPolicy:InboundTrafficPolicy ingressClass:text "
        "ingressControllerMode:enum(UNSPECIFIED|OFF|DEFAULT|STRICT) ingressSelector:text ingressService:text "
        "localityLbSetting:LocalityLoadBalancerSetting meshMTLS:TLSConfig outboundClusterStatName:text "
        "outboundTrafficPolicy:OutboundTrafficPolicy pathNormalization:ProxyPathNormalization protocolDetectionTimeout:duration "
        "proxyHttpPort:int proxyInboundListenPort:int proxyListenPort:int rootNamespace:text "
        "serviceEntryVisibility:ServiceEntryVisibility serviceScopeConfigs:list(ServiceScopeConfigs) "
        "serviceSettings:list(ServiceSettings) tcpKeepalive:TcpKeepalive tlsDefaults:TLSConfig trustDomain:text "
        "trustDomainAliases:list(text) verifyCertificateAtClient:bool zoneAwareLbSetting:ZoneAwareLoadBalancerSetting "
    ),
    "MetadataExchangeHeaders": "mode:enum(UNDEFINED|IN_MESH)",
    "OpenCensusAgent": "address:text context:list(enum(UNSPECIFIED|W3C_TRACE_CONTEXT|GRPC_BIN|CLOUD_TRACE_CONTEXT|B3))",
    "OpenCensusAgentTracingProvider": (
        "context:list(enum(UNSPECIFIED|W3C_TRACE_CONTEXT|GRPC_BIN|CLOUD_TRACE_CONTEXT|B3)) maxTagLength:uint port:uint service:text "
    ),
    "OpenTelemetryTracingProvider": (
        "dynatraceSampler:DynatraceSampler grpc:GrpcService http:HttpService maxTagLength:uint port:uint "
        "resourceDetectors:ResourceDetectors service:text "
        "serviceAttributeEnrichment:enum(ISTIO_CANONICAL|OTEL_SEMANTIC_CONVENTIONS) "
    ),
    "OutboundTrafficPolicy": "mode:enum(REGISTRY_ONLY|ALLOW_ANY|ALLOW_ANY_DYNAMIC_DNS) tls:ClientTLSSettings",
    "OutlierDetection": (
        "baseEjectionTime:duration consecutive5xxErrors:uint consecutiveErrors:int consecutiveGatewayErrors:uint "
        "consecutiveLocalOriginFailures:uint interval:duration maxEjectionPercent:int minHealthPercent:int "
        "outlierDetectionHttpErrorCodes:list(uint) splitExternalLocalOriginErrors:bool "
    ),
    "Policy": "matchingRules:list(MatchRule) visibility:enum(VISIBILITY_UNSPECIFIED|NONE|NAMESPACE|PUBLIC)",
    "PrivateKeyProvider": "cryptomb:CryptoMb qat:QAT",
    "PrometheusMetricsProvider": "",
    "ProxyConfig": (
        "availabilityZone:text binaryPath:text caCertificatesPem:list(text) concurrency:int configPath:text "
        "connectionSettings:ConnectionSettings controlPlaneAuthPolicy:enum(NONE|MUTUAL_TLS|INHERIT) customConfigFile:text "
        "discoveryAddress:text discoveryRefreshDelay:duration drainDuration:duration envoyAccessLogService:RemoteService "
        "envoyMetricsService:RemoteService envoyMetricsServiceAddress:text extraStatTags:list(text) fileFlushInterval:duration "
        "fileFlushMinSizeKb:uint gatewayTopology:Topology holdApplicationUntilProxyStarts:bool image:ProxyImage "
        "interceptionMode:enum(REDIRECT|TPROXY|NONE) meshId:text privateKeyProvider:PrivateKeyProvider proxyAdminPort:int "
        "proxyBootstrapTemplatePath:text proxyHeaders:ProxyHeaders proxyMetadata:map(text) proxyStatsMatcher:ProxyStatsMatcher "
        "readinessProbe:ReadinessProbe runtimeValues:map(text) sds:SDS serviceCluster:text statNameLength:int "
        "statsCompression:bool statsdUdpAddress:text statusPort:int terminationDrainDuration:duration tracing:Tracing "
        "tracingServiceName:enum(APP_LABEL_AND_NAMESPACE|CANONICAL_NAME_ONLY|CANONICAL_NAME_AND_NAMESPACE) zipkinAddress:text "
    ),
    "ProxyHeaders": (
        "attemptCount:AttemptCount envoyDebugHeaders:EnvoyDebugHeaders "
        "forwardedClientCert:enum(UNDEFINED|SANITIZE|FORWARD_ONLY|APPEND_FORWARD|SANITIZE_SET|ALWAYS_FORWARD_ONLY) "
        "metadataExchangeHeaders:MetadataExchangeHeaders preserveHttp1HeaderCase:bool requestId:RequestId server:Server "
        "setCurrentClientCertDetails:SetCurrentClientCertDetails xForwardedHost:XForwardedHost xForwardedPort:XForwardedPort "
    ),
    "ProxyImage": "imageType:text",
    "ProxyPathNormalization": "normalization:enum(DEFAULT|NONE|BASE|MERGE_SLASHES|DECODE_AND_MERGE_SLASHES)",
    "ProxyProtocolConfiguration": "",
    "ProxyStatsMatcher": "inclusionPrefixes:list(text) inclusionRegexps:list(text) inclusionSuffixes:list(text)",
    "QAT": "fallback:bool pollDelay:duration",
    "ReadinessProbe": (
        "exec:ExecHealthCheckConfig failureThreshold:int grpc:GrpcHealthCheckConfig httpGet:HTTPHealthCheckConfig "
        "initialDelaySeconds:int periodSeconds:int successThreshold:int tcpSocket:TCPHealthCheckConfig timeoutSeconds:int "
    ),
    "RemoteService": "address:text tcpKeepalive:TcpKeepalive tlsSettings:ClientTLSSettings",
    "RequestHeader": "defaultValue:text name:text",
    "RequestId": "disabled:bool",
    "ResourceDetectors": "dynatrace:DynatraceResourceDetector environment:EnvironmentResourceDetector",
    "SDS": "enabled:bool k8sSaJwtPath:text",
    "SDSProvider": "name:text port:uint service:text",
    "Server": "disabled:bool value:text",
    "ServiceEntryVisibility": "applyToSidecars:bool defaultVisibility:enum(VISIBILITY_UNSPECIFIED|NONE|NAMESPACE|PUBLIC) policies:list(Policy)",
    "ServiceScopeConfigs": "namespaceSelector:LabelSelector scope:enum(LOCAL|GLOBAL) servicesSelector:LabelSelector",
    "ServiceSettings": "hosts:list(text) settings:Settings",
    "SetCurrentClientCertDetails": "cert:bool chain:bool dns:bool subject:bool uri:bool",
    "Settings": "clusterLocal:bool",
    "SkyWalkingTracingProvider": "accessToken:text port:uint service:text",
    "Stackdriver": "debug:bool maxNumberOfAnnotations:int maxNumberOfAttributes:int maxNumberOfMessageEvents:int",
    "StackdriverProvider": (
        "debug:bool logging:Logging maxNumberOfAnnotations:int maxNumberOfAttributes:int maxNumberOfMessageEvents:int maxTagLength:uint "
    ),
    "TCPHealthCheckConfig": "host:text port:uint",
    "TCPSettings": "connectTimeout:duration idleTimeout:duration maxConnectionDuration:duration maxConnections:int tcpKeepalive:TcpKeepalive",
    "TLSConfig": "cipherSuites:list(text) ecdhCurves:list(text) minProtocolVersion:enum(TLS_AUTO|TLSV1_2|TLSV1_3)",
    "TcpKeepalive": "interval:duration probes:uint time:duration",
    "Topology": (
        "forwardClientCertDetails:enum(UNDEFINED|SANITIZE|FORWARD_ONLY|APPEND_FORWARD|SANITIZE_SET|ALWAYS_FORWARD_ONLY) "
        "numTrustedProxies:uint proxyProtocol:ProxyProtocolConfiguration "
    ),
    "Tracing": (
        "customTags:map(CustomTag) datadog:Datadog enableIstioTags:bool lightstep:Lightstep maxPathTagLength:uint "
        "openCensusAgent:OpenCensusAgent sampling:float stackdriver:Stackdriver tlsSettings:ClientTLSSettings zipkin:Zipkin "
    ),
    "XForwardedHost": "enabled:bool",
    "XForwardedPort": "enabled:bool",
    "Zipkin": "address:text",
    "ZipkinTracingProvider": (
        "enable64bitTraceId:bool headers:list(HttpHeader) maxTagLength:uint path:text port:uint service:text timeout:duration "
        "traceContextOption:enum(USE_B3|USE_B3_WITH_W3C_PROPAGATION) "
    ),
    "ZoneAwareLoadBalancerSetting": "enabled:bool failover:list(ZoneAwareLoadBalancerSetting.Failover) failoverPriority:list(text) minClusterSize:uint",
    "ZoneAwareLoadBalancerSetting.Failover": "from:text to:text",
}
