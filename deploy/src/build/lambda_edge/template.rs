//! The CloudFormation template: the function with its version and role, both policies, and the distribution.

use http::Uri;
use selvedge_cloudfront::event::Trigger;
use selvedge_cloudfront::policy::behaviours::{Behaviour, Origins};
use selvedge_cloudfront::policy::distribution::{Distribution, FAILOVER_HEADER, FAILOVER_STATUSES};
use selvedge_core::backend::Backend;
use selvedge_core::policy::Policy;
use serde_json::{Value, json};

use super::archive::Archive;
use super::stack_name;

/// [Every status](https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CustomErrorResponse.html) for which
/// CloudFront lets its own lifetime of errors, 10 seconds, be set.
const ERROR_CODES: [u16; 11] = [400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504];

const PRIMARY: &str = "primary";
const SECONDARY: &str = "secondary";
const GROUP: &str = "group";

/// The origin of a policy without backends: CloudFront wants one, and its name must be known to DNS
/// ([RFC 2606 section 3](https://www.rfc-editor.org/rfc/rfc2606#section-3)). The function answers before it is asked.
const NO_BACKEND: &str = "https://example.com";

/// Longest wait for a connection, in seconds.
const MAX_CONNECT_SECONDS: u64 = 10;

/// Longest wait for a response, in seconds, by the quota that every account has.
pub(crate) const MAX_READ_SECONDS: u64 = 60;

/// Time of a function that only decides: as long as viewer triggers could have before all triggers had 30 seconds.
const SHORT_SECONDS: u64 = 5;

/// Time of a function that asks backends itself: the most that Lambda@Edge gives.
const LONG_SECONDS: u64 = 30;

/// The name of the zip in its bucket; another build has another one.
pub(crate) fn code_key(policy: &Policy, archive: &Archive) -> String {
    format!("{}-{}.zip", stack_name(policy), archive.fingerprint())
}

/// Writes the template.
pub(crate) fn of(policy: &Policy, distribution: &Distribution, archive: &Archive) -> Value {
    let version = format!("FunctionVersion{}", archive.fingerprint());
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": format!(
            "{}: CloudFront with Lambda@Edge, for us-east-1. Made by selvedge build --target lambda-edge",
            stack_name(policy)
        ),
        "Parameters": parameters(policy, distribution, archive),
        "Conditions": {
            "HasAliases": not_empty(&json!({ "Fn::Join": ["", { "Ref": "Aliases" }] })),
            "HasCertificate": not_empty(&json!({ "Ref": "CertificateArn" })),
            "HasLogBucket": not_empty(&json!({ "Ref": "LogBucket" })),
            "HasWebAcl": not_empty(&json!({ "Ref": "WebAclArn" })),
        },
        "Resources": {
            "FunctionRole": role(),
            "Function": function(policy),
            version.as_str(): {
                "Type": "AWS::Lambda::Version",
                // CloudFront's replicas keep a version from being deleted for hours after it was last used.
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": {
                    "FunctionName": { "Ref": "Function" },
                    "CodeSha256": archive.code_sha256(),
                    "Description": archive.fingerprint(),
                },
            },
            "CachePolicy": cache_policy(distribution),
            "OriginRequestPolicy": origin_request_policy(distribution),
            "Distribution": {
                "Type": "AWS::CloudFront::Distribution",
                "Properties": { "DistributionConfig": config(policy, distribution, &version) },
            },
        },
        "Outputs": {
            "DistributionId": { "Value": { "Ref": "Distribution" } },
            "DomainName": { "Value": { "Fn::GetAtt": ["Distribution", "DomainName"] } },
            "FunctionVersion": { "Value": { "Ref": version } },
        },
    })
}

fn not_empty(value: &Value) -> Value {
    json!({ "Fn::Not": [{ "Fn::Equals": [value, ""] }] })
}

fn if_set(condition: &str, value: &Value) -> Value {
    json!({ "Fn::If": [condition, value, { "Ref": "AWS::NoValue" }] })
}

fn parameters(policy: &Policy, distribution: &Distribution, archive: &Archive) -> Value {
    let asks_itself = distribution.fails_over() || policy.handlers().next().is_some();
    json!({
        "CodeBucket": {
            "Type": "String",
            "Description": "S3 bucket in us-east-1 with the function's zip",
        },
        "CodeKey": {
            "Type": "String",
            "Default": code_key(policy, archive),
            "Description": "Name of the zip in the bucket",
        },
        "MemorySize": {
            "Type": "Number",
            "Default": 128,
            "MinValue": 128,
            "MaxValue": 10240,
            "Description": "MB of the function; more also means more CPU. Takes effect with the next version",
        },
        "Timeout": {
            "Type": "Number",
            "Default": if asks_itself { LONG_SECONDS } else { SHORT_SECONDS },
            "MinValue": 1,
            "MaxValue": LONG_SECONDS,
            "Description": "Seconds of the function. Takes effect with the next version",
        },
        "Aliases": {
            "Type": "CommaDelimitedList",
            "Default": "",
            "Description": "Names of the site beside that of CloudFront, with commas between them",
        },
        "CertificateArn": {
            "Type": "String",
            "Default": "",
            "Description": "Certificate of the aliases, in ACM in us-east-1",
        },
        "LogBucket": {
            "Type": "String",
            "Default": "",
            "Description": "Domain name of an S3 bucket for access logs, such as logs.s3.amazonaws.com",
        },
        "WebAclArn": {
            "Type": "String",
            "Default": "",
            "Description": "Web ACL of AWS WAF, of the scope CLOUDFRONT",
        },
        "PriceClass": {
            "Type": "String",
            "Default": "PriceClass_All",
            "AllowedValues": ["PriceClass_100", "PriceClass_200", "PriceClass_All"],
            "Description": "Which of CloudFront's locations serve the site",
        },
    })
}

/// The function writes its logs in the region that it runs in, under the name that it has in us-east-1.
fn role() -> Value {
    let logs = "arn:${AWS::Partition}:logs:*:${AWS::AccountId}:log-group:/aws/lambda/us-east-1.*";
    json!({
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Principal": { "Service": ["lambda.amazonaws.com", "edgelambda.amazonaws.com"] },
                    "Action": "sts:AssumeRole",
                }],
            },
            "Policies": [{
                "PolicyName": "logs",
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [{
                        "Effect": "Allow",
                        "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                        "Resource": { "Fn::Sub": logs },
                    }],
                },
            }],
        },
    })
}

fn function(policy: &Policy) -> Value {
    json!({
        "Type": "AWS::Lambda::Function",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "Description": format!("the edge policy {}", stack_name(policy)),
            "Runtime": "nodejs24.x",
            "Architectures": ["x86_64"],
            "Handler": "index.handler",
            "MemorySize": { "Ref": "MemorySize" },
            "Timeout": { "Ref": "Timeout" },
            "Role": { "Fn::GetAtt": ["FunctionRole", "Arn"] },
            "Code": { "S3Bucket": { "Ref": "CodeBucket" }, "S3Key": { "Ref": "CodeKey" } },
        },
    })
}

/// Lifetimes are the policy's: it writes them into the response, and what it does not want stored has none.
fn cache_policy(distribution: &Distribution) -> Value {
    json!({
        "Type": "AWS::CloudFront::CachePolicy",
        "Properties": { "CachePolicyConfig": {
            "Name": { "Fn::Sub": "${AWS::StackName}-key" },
            "MinTTL": 0,
            "DefaultTTL": 0,
            "MaxTTL": 31_536_000,
            "ParametersInCacheKeyAndForwardedToOrigin": {
                "CookiesConfig": { "CookieBehavior": "none" },
                "HeadersConfig": { "HeaderBehavior": "whitelist", "Headers": distribution.cache_key_headers },
                "QueryStringsConfig": { "QueryStringBehavior": "none" },
                "EnableAcceptEncodingGzip": true,
                "EnableAcceptEncodingBrotli": true,
            },
        } },
    })
}

fn origin_request_policy(distribution: &Distribution) -> Value {
    let headers = &distribution.origin_request_headers;
    let headers = if headers.is_empty() {
        json!({ "HeaderBehavior": "allViewer" })
    } else {
        json!({ "HeaderBehavior": "allViewerAndWhitelistCloudFront", "Headers": headers })
    };
    json!({
        "Type": "AWS::CloudFront::OriginRequestPolicy",
        "Properties": { "OriginRequestPolicyConfig": {
            "Name": { "Fn::Sub": "${AWS::StackName}-request" },
            "CookiesConfig": { "CookieBehavior": "all" },
            "HeadersConfig": headers,
            "QueryStringsConfig": { "QueryStringBehavior": "all" },
        } },
    })
}

fn config(policy: &Policy, distribution: &Distribution, version: &str) -> Value {
    let certificate = json!({
        "AcmCertificateArn": { "Ref": "CertificateArn" },
        "MinimumProtocolVersion": "TLSv1.2_2021",
        "SslSupportMethod": "sni-only",
    });
    let mut config = json!({
        "Enabled": true,
        "Comment": stack_name(policy),
        "HttpVersion": "http2and3",
        "IPV6Enabled": true,
        "PriceClass": { "Ref": "PriceClass" },
        "Aliases": if_set("HasAliases", &json!({ "Ref": "Aliases" })),
        "ViewerCertificate": if_set("HasCertificate", &certificate),
        "Logging": if_set("HasLogBucket", &json!({ "Bucket": { "Ref": "LogBucket" } })),
        "WebACLId": if_set("HasWebAcl", &json!({ "Ref": "WebAclArn" })),
        "CustomErrorResponses":
            ERROR_CODES.map(|code| json!({ "ErrorCode": code, "ErrorCachingMinTTL": 0 })),
        "Origins": origins(policy, distribution),
        "DefaultCacheBehavior": behaviour(distribution, version, Origins::Primary),
    });
    if distribution.fails_over() {
        config["OriginGroups"] = origin_groups();
        let ordered = distribution.behaviours.iter().map(|Behaviour { pattern, origins }| {
            let mut behaviour = behaviour(distribution, version, *origins);
            behaviour["PathPattern"] = pattern.as_str().into();
            behaviour
        });
        config["CacheBehaviors"] = ordered.collect();
    }
    config
}

fn behaviour(distribution: &Distribution, version: &str, origins: Origins) -> Value {
    let target = match origins {
        Origins::Primary => PRIMARY,
        Origins::Group => GROUP,
    };
    let associations = distribution.triggers.iter().map(|attached| {
        let mut association = json!({
            "EventType": attached.trigger.as_str(),
            "LambdaFunctionARN": { "Ref": version },
        });
        if matches!(attached.trigger, Trigger::ViewerRequest | Trigger::OriginRequest) {
            association["IncludeBody"] = attached.include_body.into();
        }
        association
    });
    json!({
        "TargetOriginId": target,
        "AllowedMethods": origins.methods(),
        "CachedMethods": ["GET", "HEAD"],
        "ViewerProtocolPolicy": if distribution.https_only { "redirect-to-https" } else { "allow-all" },
        "Compress": true,
        "CachePolicyId": { "Ref": "CachePolicy" },
        "OriginRequestPolicyId": { "Ref": "OriginRequestPolicy" },
        "LambdaFunctionAssociations": associations.collect::<Vec<_>>(),
    })
}

/// The origins before the function names another one. CloudFront resolves an origin's name before it calls the
/// function, so that the secondary has a name that is known too.
fn origins(policy: &Policy, distribution: &Distribution) -> Vec<Value> {
    let backend = policy.backends.first();
    let mut primary = origin(PRIMARY, backend);
    if !distribution.fails_over() {
        return vec![primary];
    }
    // One attempt is what the policy says; the next one is its own.
    primary["ConnectionAttempts"] = 1.into();
    let mut secondary = primary.clone();
    secondary["Id"] = SECONDARY.into();
    let (name, value) = FAILOVER_HEADER;
    secondary["OriginCustomHeaders"] = json!([{ "HeaderName": name, "HeaderValue": value }]);
    vec![primary, secondary]
}

fn origin(id: &str, backend: Option<&Backend>) -> Value {
    let url = backend.and_then(|backend| backend.urls.first()).map_or(NO_BACKEND, String::as_str);
    let uri = url.parse::<Uri>().unwrap_or_default();
    let is_https = uri.scheme_str() != Some("http");
    let seconds = backend.map_or(LONG_SECONDS, |backend| backend.timeout.as_secs().max(1));
    let mut custom = json!({
        "OriginProtocolPolicy": if is_https { "https-only" } else { "http-only" },
        "OriginReadTimeout": seconds.min(MAX_READ_SECONDS),
        "OriginSSLProtocols": ["TLSv1.2"],
    });
    if let Some(port) = uri.port_u16() {
        custom[if is_https { "HTTPSPort" } else { "HTTPPort" }] = port.into();
    }
    let mut origin = json!({
        "Id": id,
        "DomainName": uri.host().unwrap_or_default(),
        "ConnectionTimeout": seconds.min(MAX_CONNECT_SECONDS),
        "CustomOriginConfig": custom,
    });
    let path = uri.path().trim_end_matches('/');
    if !path.is_empty() {
        origin["OriginPath"] = path.into();
    }
    origin
}

fn origin_groups() -> Value {
    json!({
        "Quantity": 1,
        "Items": [{
            "Id": GROUP,
            "FailoverCriteria": { "StatusCodes": { "Quantity": FAILOVER_STATUSES.len(), "Items": FAILOVER_STATUSES } },
            "Members": { "Quantity": 2, "Items": [{ "OriginId": PRIMARY }, { "OriginId": SECONDARY }] },
        }],
    })
}
