//! What signing in costs, and what every request is asked, against the cryptography alone that is in it.

use std::process::Command;

use anyhow::{Context as _, ensure};

use super::figure::{Figure, Target};
use super::process::cpu;
use super::tools::{Database, Installation, json_of, json_with};
use super::{Bench, Note as _, Results, Sizes};

const POLICIES: &str = "conditional access, added to a request, 12 policies";
const PASSKEY: &str = "passkey sign-in, both halves of the ceremony";
const TOKEN: &str = "access token, verified";
const MINT: &str = "access token, signed";
const OPEN: &str = "a key of the ring, opened";
const STORM: &str = "server CPU of a wrong password, in a storm of them, TLS included";

pub(crate) fn figures(_: &Sizes) -> Vec<Figure> {
    vec![
        Figure::new(POLICIES, "µs", Target::at_most(5.0)),
        Figure::new(PASSKEY, "µs", Target::NONE).against("ES256 alone"),
        Figure::new(TOKEN, "µs", Target::NONE.within(1.5)).against("ES256 alone"),
        Figure::new(MINT, "µs", Target::NONE).against("ES256 alone"),
        Figure::new(OPEN, "µs", Target::NONE),
        Figure::new(STORM, "ms", Target::NONE.within(1.5)).against("argon2 alone"),
    ]
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let mut command = Command::new(bench.programs.join("sekisho-bench"));
    let took = json_of(command.args(["identity", "--repeats", &bench.sizes.repeats.to_string()]))?;
    eprintln!("{took}");
    let number = |name: &str| took[name].as_f64().with_context(|| name.to_owned());
    results.note(POLICIES, number("policiesUs")?, None);
    results.note(PASSKEY, number("passkeyUs")?, Some(number("verifyUs")?));
    results.note(TOKEN, number("tokenUs")?, Some(number("verifyUs")?));
    results.note(MINT, number("mintUs")?, Some(number("signUs")?));
    results.note(OPEN, number("openUs")?, None);
    results.note(STORM, storm(bench)? * 1e3, Some(number("argonMs")?));
    Ok(())
}

/// CPU seconds of the server for one attempt, each over a connection of its own, from another network and with another
/// name, so that none is refused before its password was looked at.
fn storm(bench: &Bench) -> anyhow::Result<f64> {
    let installation = Installation::start(bench, Database::Sqlite)?;
    let (url, ca) = (&installation.site.url, installation.key("ca.pem"));
    let server = installation.server_pid()?;
    let before = cpu(server)?;
    for n in 0..bench.sizes.sign_ins {
        let body = format!(
            r#"{{"userPrincipalName": "storm{n}@contoso.test", "password": "guess {n}", "code": "123456"}}"#
        );
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--interface", &format!("127.{}.{}.7", 1 + n / 200, n % 200)])
            .args(["--header", "sec-fetch-site: same-origin", "--json", "@-"])
            .arg("--cacert")
            .arg(&ca)
            .arg(format!("{url}/auth/password"));
        let answer = json_with(&mut curl, &body)?;
        ensure!(answer["error"]["code"] == "InvalidCredentials", "a guess was not looked at: {answer}");
    }
    Ok((cpu(server)? - before) / bench.sizes.sign_ins as f64)
}
