//! What the API answers and how fast, on both databases, against the plainest handler of the same query.

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::figure::{Figure, Target};
use super::tools::{Database, Ends, Fleet, Installation, group, json_with};
use super::{Bench, Note as _, Results, Sizes};

const FLOOR: &str = "axum+sqlx";
/// Writers at the same time.
const WRITERS: usize = 32;

fn list(sizes: &Sizes, database: Database) -> String {
    format!("list of {} of {} machines, p50, {}", sizes.together, sizes.machines, database.name())
}
fn get(database: Database) -> String {
    format!("GET of a machine, p50, {}", database.name())
}
fn put(database: Database) -> String {
    format!("time of a PUT at {WRITERS} writers, durable, {}", database.name())
}

/// What its rules do to packets goes into the log with it.
fn put_group(database: Database) -> String {
    format!("time of a PUT of a security group at {WRITERS} writers, durable, {}", database.name())
}

pub(crate) fn figures(sizes: &Sizes) -> Vec<Figure> {
    let of = |database| {
        [
            Figure::new(list(sizes, database), "ms", Target::at_most(30.0).within(1.5)).against(FLOOR),
            Figure::new(get(database), "ms", Target::NONE).against(FLOOR),
            Figure::new(put(database), "ms", Target::NONE).against(FLOOR),
            Figure::new(put_group(database), "ms", Target::NONE).against(FLOOR),
        ]
    };
    Database::ALL.into_iter().flat_map(of).collect()
}

pub(crate) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    Database::ALL.into_iter().try_for_each(|database| on(bench, database, results).context(database.name()))
}

fn on(bench: &Bench, database: Database, results: &mut Results) -> anyhow::Result<()> {
    let sizes = &bench.sizes;
    let mut installation = Installation::start(bench, database)?;
    drop(Fleet::start(bench, &mut installation, sizes.machines, sizes.together)?);
    // Without the machines, which are not what is measured here.
    installation.restart()?;
    let floor = crate::free_port()?;
    let _floor = Ends(serve_floor(bench, &installation, floor)?);
    let token = installation.api.token();
    let (url, ca) = (&installation.site.url, installation.key("ca.pem"));
    let ours = |method: &str, path: String, body: &str| json!({"url": format!("{url}{path}"), "ca": ca, "method": method, "token": token, "body": body});
    let floors = |method: &str, path: String, body: &str| json!({"url": format!("https://localhost:{floor}{path}"), "ca": ca, "method": method, "body": body});
    let group = group(&installation.site, 0);
    let kind = "Microsoft.Compute/virtualMachines";
    let key = group.to_lowercase();
    let machines = format!("{group}/providers/{kind}?api-version=2024-07-01");
    let listed = installation.api.get(&machines)?;
    let listed = listed["value"].as_array().context("no list")?;
    if listed.len() != sizes.together {
        bail!("{} machines were listed", listed.len());
    }
    let query = format!("/list?low={key}/&high={key}0&limit={}", sizes.together);
    let took = load(bench, [1, 10, sizes.rounds, 5], [ours("GET", machines, ""), floors("GET", query, "")])?;
    results.note(list(sizes, database), p50(&took[0])?, Some(p50(&took[1])?));

    let id = listed[0]["id"].as_str().context("a machine without an id")?;
    let path = format!("{id}?api-version=2024-07-01");
    let name = id.rsplit('/').next().unwrap_or_default();
    let query = format!("/machine?group={key}&name={name}");
    let took = load(bench, [1, 50, sizes.rounds, 50], [ours("GET", path, ""), floors("GET", query, "")])?;
    results.note(get(database), p50(&took[0])?, Some(p50(&took[1])?));

    let body = json!({"location": "home", "tags": {"stage": "test"}, "properties": {}}).to_string();
    let kinds = [
        ("applicationSecurityGroups", put(database), sizes.writes),
        ("networkSecurityGroups", put_group(database), sizes.writes.div_ceil(10)),
    ];
    for (kind, figure, requests) in kinds {
        let path = format!("{group}/providers/Microsoft.Network/{kind}/x-{{n}}?api-version=2024-05-01");
        let writes =
            [ours("PUT", path, &body), floors("PUT", format!("/item?key={key}/{kind}-{{n}}"), &body)];
        let took = load(bench, [WRITERS, WRITERS, 4, requests], writes)?;
        let each = |n: usize| took[n]["perSecond"].as_f64().map(|rate| 1000.0 / rate).context("no rate");
        results.note(figure, each(0)?, Some(each(1)?));
    }
    Ok(())
}

fn p50(took: &Value) -> anyhow::Result<f64> {
    took["p50Ms"].as_f64().context("no p50")
}

fn load(bench: &Bench, plan: [usize; 4], targets: [Value; 2]) -> anyhow::Result<Value> {
    let [connections, warm, rounds, requests] = plan;
    let plan = json!({
        "connections": connections, "warm": warm, "rounds": rounds, "requests": requests, "targets": targets,
    });
    let took = json_with(Command::new(bench.programs.join("sekisho-bench")).arg("load"), &plan.to_string())?;
    eprintln!("{took}");
    Ok(took)
}

/// Starts the floor on the installation's database and waits until it listens.
fn serve_floor(bench: &Bench, installation: &Installation, port: u16) -> anyhow::Result<std::process::Child> {
    let database = installation.database();
    let writes = match database.strip_prefix("sqlite://") {
        Some(_) => format!("sqlite://{}?mode=rwc", installation.dir.path().join("floor.db").display()),
        None => database.clone(),
    };
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(bench.programs.join("sekisho-bench"))
        .args(["floor", "--database", &database, "--writes", &writes])
        .args(["--listen", &format!("127.0.0.1:{port}"), "--root"])
        .arg(installation.key("root.key"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let began = std::time::Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if began.elapsed().as_secs() > 30 {
            bail!("the floor does not listen");
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Ok(child)
}
