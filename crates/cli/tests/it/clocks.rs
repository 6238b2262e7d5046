//! Machines whose clock is wrong, and certificates that are over by the server's clock.

use std::path::Path;

use serde_json::Value;

use super::{AGENT, SOON, World, skipped, unable};

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The environment of a program whose clock is off; its monotonic clock is not.
pub(crate) fn off(by: &str) -> [(&str, &str); 3] {
    [("LD_PRELOAD", LIBRARY), ("FAKETIME", by), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]
}

/// Whether a program's clock can be set here.
pub(crate) fn is_there() -> bool {
    Path::new(LIBRARY).exists()
}

fn able() -> bool {
    let there = is_there();
    if !there {
        skipped("libfaketime is not installed");
    }
    unable().is_none() && there
}

fn is_ahead(seconds: i64) -> impl Fn(&Value) -> bool {
    move |known| {
        let told = known["facts"]["clock"]["aheadSeconds"].as_i64();
        known["status"] == "online" && told.is_some_and(|told| (told - seconds).abs() <= 30)
    }
}

#[test]
fn a_machine_whose_clock_is_a_day_off_works_as_any_other_and_says_so() {
    if !able() {
        return;
    }
    let mut world = World::new("fdl");
    let api = world.api.clone();
    world.known_becomes(&api, "db", "a right clock", is_ahead(0));
    for (by, seconds) in [("+1d", 86_400), ("-1d", -86_400), ("-20y", -20 * 365 * 86_400)] {
        world.site.kill_agent("db").unwrap();
        world.site.start_agent("db", AGENT, &off(by)).unwrap();
        world.known_becomes(&api, "db", by, is_ahead(seconds));
        world.deny_db();
        world.becomes(by, false, SOON);
        world.state_becomes("db", "applied");
        world.remove("deny-db");
        world.becomes(by, true, SOON);
    }
    // By the machine's own clock its certificate was always over or not yet begun; by the server's it was good all the
    // time, and so it was not renewed.
    let history = history(&mut world);
    assert!(!history.contains("certificate.renewed"), "{history}");
}

#[test]
fn a_machine_whose_certificate_is_over_comes_back_by_itself_whichever_clock_is_wrong() {
    if !able() {
        return;
    }
    let mut world = World::new("fdm");
    // To the server, two days have gone by; to the machines, none.
    world.site.kill_server();
    world.site.start_server_with(&off("+2d")).unwrap();
    let api = world.site.api().unwrap();
    world.known_becomes(&api, "db", "the server's clock is ahead", is_ahead(-2 * 86_400));
    // The server's clock is set right: the certificates have not begun yet.
    world.site.kill_server();
    world.site.start_server().unwrap();
    world.api = world.site.api().unwrap();
    let api = world.api.clone();
    world.known_becomes(&api, "db", "the clocks are right", is_ahead(0));
    world.deny_db();
    world.becomes("afterwards", false, SOON);
    let history = history(&mut world);
    assert!(history.contains("certificate.renewed") && !history.contains("duplicate"), "{history}");
}

fn history(world: &mut World) -> String {
    let path = format!(
        "{}/providers/Microsoft.Compute/virtualMachines/db/providers/Sekisho.Fleet/events?$top=1000&api-version=2026-11-01",
        world.site.group()
    );
    world.api.get(&path).unwrap().to_string()
}
