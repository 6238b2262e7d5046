//! From the start of a program to its first answer.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::load;
use crate::statistics::{percentile, sorted};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between attempts, which is the error of the measurement.
const PAUSE: Duration = Duration::from_millis(1);

pub(crate) async fn run(ca: &Path, url: &str, times: usize, program: &[String]) -> anyhow::Result<Value> {
    let (name, arguments) = program.split_first().context("a program")?;
    let mut took = Vec::new();
    for _ in 0..times {
        let began = Instant::now();
        let mut child =
            Command::new(name).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let answered = async {
            loop {
                match load::once(url, ca).await {
                    Ok(_) => return Ok(began.elapsed().as_secs_f64()),
                    Err(error) if began.elapsed() > PATIENCE => return Err(error),
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
                if let Some(status) = child.try_wait()? {
                    bail!("{name} ended ({status})");
                }
            }
        };
        let answered = answered.await;
        let _ = child.kill();
        child.wait()?;
        took.push(answered?);
    }
    let took = sorted(took);
    Ok(json!({ "times": times, "p50Seconds": percentile(&took, 0.5), "maxSeconds": percentile(&took, 1.0) }))
}
