//! Spin applications, by `spin` and its plugins; on Kubernetes by `kubectl` too.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};
use selvedge_spin::variables::Variables;

use super::{hand_over, shell_word};
use crate::build::Project;
use crate::build::spin::app_name;
use crate::cli::{BOLD, DIM, Deploy, Via, YELLOW};

/// The first Spin that runs components of WASI 0.3.0; those before have a release candidate of it, or nothing.
const MIN_SPIN: (u32, u32) = (4, 1);

/// How to get Spin.
const INSTALL: &str = "install Spin 4.1 or newer as https://spinframework.dev/install tells";

/// What `spin kube scaffold` writes.
const SPIN_APP: &str = "spinapp.yaml";

/// What a rehearsal writes where no image is named.
const NO_IMAGE: &str = "IMAGE";

/// A call of a tool.
#[derive(Debug)]
struct Step {
    program: &'static str,
    words: Vec<Word>,
}

/// One argument.
#[derive(Clone, Debug)]
enum Word {
    /// As it stands.
    Plain(String),
    /// `VARIABLE=` and a value of the environment, which is never shown.
    Secret { variable: String, name: String },
}

/// Deploys, or shows how.
pub(super) fn deploy(options: &Deploy, project: &Project, out: &Path) -> anyhow::Result<ExitCode> {
    let via = options.build.via.unwrap_or_default();
    if options.image.is_some() && via != Via::Kube {
        bail!("--image is for --via kube: nothing else pushes an image");
    }
    let variables = Variables::of(&project.policy);
    let secrets = variables.secrets().filter(|(_, variable)| !is_given(&options.arguments, variable));
    let secrets: Vec<_> = secrets.collect();
    let steps = steps(options, via, &secrets)?;
    let secret = format!("{}-variables", app_name(&project.policy));
    let has_secret = via == Via::Kube && !secrets.is_empty();
    if options.dry_run {
        rehearse(&steps, via, out);
    } else {
        require_spin(out)?;
        for step in &steps {
            let code = step.run(out)?;
            if code != ExitCode::SUCCESS {
                return Ok(code);
            }
            if has_secret && step.scaffolds() {
                refer_to_secret(&out.join(SPIN_APP), &secret, &secrets)?;
            }
        }
    }
    if has_secret {
        let literals =
            secrets.iter().map(|(name, variable)| format!(" --from-literal={variable}=\"${name}\""));
        anstream::println!(
            "\n{SPIN_APP} takes secrets from a Secret, which you make once: \
             {BOLD}kubectl create secret generic {secret}{}{BOLD:#}",
            literals.collect::<String>()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The calls, which are made in the folder of the build. A secret is its name in the environment and its variable.
fn steps(options: &Deploy, via: Via, secrets: &[(&str, &str)]) -> anyhow::Result<Vec<Step>> {
    let further = options.arguments.iter().cloned().map(Word::Plain);
    let with_secrets = |words: &str| {
        let secrets = secrets.iter().flat_map(|(name, variable)| {
            let secret = Word::Secret { variable: (*variable).to_owned(), name: (*name).to_owned() };
            [Word::Plain("--variable".to_owned()), secret]
        });
        vec![Step { program: "spin", words: plain(words).chain(secrets).chain(further.clone()).collect() }]
    };
    if via != Via::Kube {
        return Ok(with_secrets(if via == Via::Aka { "aka deploy" } else { "deploy" }));
    }
    let image = options.image.as_deref().or(options.dry_run.then_some(NO_IMAGE));
    let image = image.context("name the image that the application is pushed as with --image")?;
    let own = |words: String| plain(&words).collect::<Vec<_>>();
    let mut scaffold = own(format!("kube scaffold --from {image} --out {SPIN_APP}"));
    scaffold.extend(further.clone());
    Ok(vec![
        Step { program: "spin", words: own(format!("registry push {image}")) },
        Step { program: "spin", words: scaffold },
        Step { program: "kubectl", words: own(format!("apply -f {SPIN_APP}")) },
    ])
}

fn plain(words: &str) -> impl Iterator<Item = Word> {
    words.split(' ').map(|word| Word::Plain(word.to_owned()))
}

/// Whether further arguments hold a variable, by itself or maybe in a file.
fn is_given(arguments: &[String], variable: &str) -> bool {
    let values = arguments.iter().map(|argument| argument.strip_prefix("--variable=").unwrap_or(argument));
    let is_it = |value: &str| value.split_once('=').is_some_and(|(name, _)| name == variable);
    values.into_iter().any(|value| value.starts_with('@') || is_it(value))
}

impl Step {
    fn run(&self, folder: &Path) -> anyhow::Result<ExitCode> {
        let arguments = self.words.iter().map(|word| match word {
            Word::Plain(text) => Ok(text.clone()),
            Word::Secret { variable, name } => match std::env::var(name).ok().filter(|value| !value.is_empty()) {
                Some(value) => Ok(format!("{variable}={value}")),
                None => bail!(
                    "the environment has no `{name}`, which a backend's `request-headers` name; set it, or give \
                     the variable with `-- --variable {variable}=VALUE`"
                ),
            },
        });
        let arguments = arguments.collect::<anyhow::Result<Vec<_>>>()?;
        anstream::eprintln!("{DIM}$ {}{DIM:#}", self.shown());
        let mut command = Command::new(self.program);
        hand_over(command.args(arguments).current_dir(folder), self.program)
    }

    fn scaffolds(&self) -> bool {
        self.words.iter().any(|word| matches!(word, Word::Plain(text) if text == "scaffold"))
    }

    /// The command line as a shell reads it, with a secret's name in place of its value.
    fn shown(&self) -> String {
        let words = self.words.iter().map(|word| match word {
            Word::Plain(text) => shell_word(text),
            Word::Secret { variable, name } => format!("{variable}=\"${name}\""),
        });
        std::iter::once(self.program.to_owned()).chain(words).collect::<Vec<_>>().join(" ")
    }
}

fn rehearse(steps: &[Step], via: Via, out: &Path) {
    anstream::println!("\nWould run in {}:", out.display());
    for step in steps {
        anstream::println!("  {BOLD}{}{BOLD:#}", step.shown());
    }
    let plugin = match via {
        Via::Spin => None,
        Via::Kube => Some("kube"),
        Via::Aka => Some("aka"),
    };
    if let Some(plugin) = plugin {
        anstream::println!("which needs Spin's plugin: spin plugins install {plugin}");
    }
    match spin_version(out) {
        Some(version) => warn_about(&version),
        None => anstream::println!("Spin is not installed: {INSTALL}"),
    }
}

fn require_spin(folder: &Path) -> anyhow::Result<()> {
    let version = spin_version(folder).with_context(|| format!("spin is not installed; {INSTALL}"))?;
    warn_about(&version);
    Ok(())
}

/// What runs the application is what counts, which may be another Spin than this one.
fn warn_about(version: &str) {
    if is_old(version) {
        anstream::eprintln!(
            "{YELLOW}warning:{YELLOW:#} this is Spin {version}, and the component needs one of 4.1 or newer where it \
             runs: those before have no WASI 0.3.0"
        );
    }
}

/// The version of the `spin` on PATH, as in `spin 4.1.0 (0a1b2c3 2026-09-01)`.
fn spin_version(folder: &Path) -> Option<String> {
    let mut command = Command::new("spin");
    let output = command.arg("--version").current_dir(folder).stdin(Stdio::null()).output().ok()?;
    let shown = String::from_utf8_lossy(&output.stdout);
    Some(shown.split_whitespace().nth(1).unwrap_or("of an unknown version").to_owned())
}

/// A version that cannot be read is not old: it is a build of its own.
fn is_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < MIN_SPIN,
        _ => false,
    }
}

/// Lets the application take its secrets from a Secret: `spin kube scaffold` knows values alone, which anybody who may
/// read the application could read.
fn refer_to_secret(path: &Path, secret: &str, secrets: &[(&str, &str)]) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let names: Vec<_> = secrets.iter().map(|(_, variable)| *variable).collect();
    let text = with_secret(&text, secret, &names)
        .with_context(|| format!("{} is not the SpinApp that `spin kube scaffold` writes", path.display()))?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Adds the [variables](https://www.spinkube.dev/docs/topics/assigning-variables/) of a Secret to a SpinApp, beside those
/// that it has.
fn with_secret(app: &str, secret: &str, names: &[&str]) -> Option<String> {
    let items = names.iter().map(|name| {
        format!("  - name: {name}\n    valueFrom:\n      secretKeyRef:\n        name: {secret}\n        key: {name}\n")
    });
    let items: String = items.collect();
    if let Some((before, after)) = app.split_once("\n  variables:\n") {
        return Some(format!("{before}\n  variables:\n{items}{after}"));
    }
    let (before, after) = app.split_once("\nspec:\n")?;
    Some(format!("{before}\nspec:\n  variables:\n{items}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spin_without_wasi_0_3_0_is_told_from_one_with_it() {
        for (version, expected) in [
            ("3.6.3", true),
            ("4.0.2", true),
            ("4.1.0", false),
            ("4.1.0-pre0", false),
            ("5.0.0", false),
            ("canary", false),
        ] {
            assert_eq!(is_old(version), expected, "{version}");
        }
    }

    #[test]
    fn a_variable_that_is_given_is_not_given_twice() {
        for (argument, expected) in [
            ("eu_token=a", true),
            ("--variable=eu_token=a", true),
            ("@variables.json", true),
            ("eu_token_2=a", false),
            ("--quiet", false),
        ] {
            assert_eq!(is_given(&[argument.to_owned()], "eu_token"), expected, "{argument}");
        }
    }

    #[test]
    fn a_spin_app_takes_its_secrets_from_a_secret() {
        let own = "  - name: a\n    valueFrom:\n      secretKeyRef:\n        name: shop-variables\n        key: a\n";
        let without = "kind: SpinApp\nspec:\n  image: \"i\"\n---\nkind: Other\nspec:\n  x: 1\n";
        assert_eq!(
            with_secret(without, "shop-variables", &["a"]).as_deref(),
            Some(format!(
                "kind: SpinApp\nspec:\n  variables:\n{own}  image: \"i\"\n---\nkind: Other\nspec:\n  x: 1\n"
            ))
            .as_deref()
        );
        let with = "kind: SpinApp\nspec:\n  image: \"i\"\n  variables:\n  - name: b\n    value: c\n";
        assert_eq!(
            with_secret(with, "shop-variables", &["a"]).as_deref(),
            Some(format!(
                "kind: SpinApp\nspec:\n  image: \"i\"\n  variables:\n{own}  - name: b\n    value: c\n"
            ))
            .as_deref()
        );
        assert_eq!(with_secret("an error\n", "shop-variables", &["a"]), None);
    }
}
