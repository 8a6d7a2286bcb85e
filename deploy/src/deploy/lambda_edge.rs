//! CloudFront with Lambda@Edge, by the AWS CLI: the zip to S3, then the template to CloudFormation.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{hand_over, shell_word};
use crate::build::lambda_edge::{TEMPLATE, ZIP, stack_name};
use crate::build::{Project, source};
use crate::cli::{BOLD, DIM, Deploy, GREEN};

/// Lambda@Edge functions are made here and nowhere else.
const REGION: &str = "us-east-1";

/// What a rehearsal writes where no bucket is named.
const NO_BUCKET: &str = "BUCKET";

/// Uploads and deploys, or shows how and checks the template.
pub(super) fn deploy(options: &Deploy, project: &Project, out: &Path) -> anyhow::Result<ExitCode> {
    let bucket = options.bucket.as_deref().or(options.dry_run.then_some(NO_BUCKET));
    let bucket = bucket.context(
        "name the S3 bucket for the function's code with --bucket; make one with \
         `aws s3 mb s3://NAME --region us-east-1`",
    )?;
    let steps = steps(bucket, &stack_name(&project.policy), &code_key(out)?, &options.arguments);
    if options.dry_run {
        return rehearse(&steps, out);
    }
    for step in &steps {
        anstream::eprintln!("{DIM}$ {}{DIM:#}", shown(step));
        let mut aws = Command::new("aws");
        aws.args(step).current_dir(out);
        let code = hand_over(&mut aws, "aws, the AWS CLI; install it as https://aws.amazon.com/cli tells")?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    let name = stack_name(&project.policy);
    anstream::println!(
        "\nIts address: {BOLD}aws cloudformation describe-stacks --region {REGION} --stack-name {name} \
         --query 'Stacks[0].Outputs'{BOLD:#}"
    );
    Ok(ExitCode::SUCCESS)
}

/// The arguments of both calls of the AWS CLI, which are made in the folder of the build.
///
/// Further arguments stand behind the parameters, so that `Name=value` sets another one.
fn steps(bucket: &str, stack: &str, key: &str, further: &[String]) -> [Vec<String>; 2] {
    let own = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let upload = own(&format!("s3 cp {ZIP} s3://{bucket}/{key} --region {REGION} --only-show-errors"));
    let mut deploy = own(&format!(
        "cloudformation deploy --region {REGION} --stack-name {stack} --template-file {TEMPLATE} \
         --s3-bucket {bucket} --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset \
         --parameter-overrides CodeBucket={bucket} CodeKey={key}"
    ));
    deploy.extend_from_slice(further);
    [upload, deploy]
}

/// The name of the zip in the bucket, as the template has it.
fn code_key(out: &Path) -> anyhow::Result<String> {
    let path = out.join(TEMPLATE);
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let template: Value = serde_json::from_slice(&text).context("the template is not JSON")?;
    let key = template["Parameters"]["CodeKey"]["Default"].as_str().context("the template names no zip")?;
    Ok(key.to_owned())
}

fn rehearse(steps: &[Vec<String>], out: &Path) -> anyhow::Result<ExitCode> {
    anstream::println!("\nWould run in {}:", out.display());
    for step in steps {
        anstream::println!("  {BOLD}{}{BOLD:#}", shown(step));
    }
    let Some(lint) = cfn_lint() else {
        anstream::println!("The template is not checked: cfn-lint is not installed (pip install cfn-lint)");
        return Ok(ExitCode::SUCCESS);
    };
    let checked =
        Command::new(&lint).args(["--regions", REGION, "--template", TEMPLATE]).current_dir(out).output();
    let checked = checked.with_context(|| format!("cannot run {}", lint.display()))?;
    if !checked.status.success() {
        bail!("cfn-lint refuses the template:\n{}", String::from_utf8_lossy(&checked.stdout));
    }
    anstream::println!("{GREEN}cfn-lint accepts{GREEN:#} {TEMPLATE}. Nothing was uploaded.");
    Ok(ExitCode::SUCCESS)
}

/// The cfn-lint that the tests install, or the one on PATH.
fn cfn_lint() -> Option<PathBuf> {
    let pinned =
        include_str!("../../requirements.txt").lines().find(|line| line.starts_with("cfn-lint=="))?;
    let own = source::cache().join(pinned.replace("==", "-")).join("bin/cfn-lint");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("cfn-lint")).collect::<Vec<_>>();
    std::iter::once(own).chain(on_path).find(|program| program.is_file())
}

/// A command line as a shell reads it.
fn shown(arguments: &[String]) -> String {
    let quoted = arguments.iter().map(|word| shell_word(word));
    std::iter::once("aws".to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_arguments_can_set_parameters() {
        let further = ["Aliases=a.example.com,b.example.com", "--tags", "team=it's"].map(str::to_owned);
        let [upload, deploy] = steps("code", "selvedge-shop", "selvedge-shop-0a.zip", &further);
        assert_eq!(
            shown(&upload),
            "aws s3 cp function.zip s3://code/selvedge-shop-0a.zip --region us-east-1 --only-show-errors"
        );
        let deploy = shown(&deploy);
        assert!(
            deploy.ends_with(
                r"--parameter-overrides CodeBucket=code CodeKey=selvedge-shop-0a.zip \
                  Aliases=a.example.com,b.example.com --tags 'team=it'\''s'"
                    .replace("\\\n                  ", "")
                    .as_str()
            ),
            "{deploy}"
        );
    }
}
