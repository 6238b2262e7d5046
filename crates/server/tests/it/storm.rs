//! A storm of guesses while people sign in: whoever guesses gets nowhere, and nobody is kept out at their own machine.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use sekisho_identity::Secret;
use sekisho_identity::throttle::{Counter, Keyed, Spot};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::kit::Http;
use crate::seed::World;
use crate::signin::{PASSWORD, browser, invite, person, set_up_password, with_passkey, with_password};

/// What the server does with its counters, without the server: its time is ours.
struct Door {
    keyed: Keyed,
    counters: HashMap<String, Counter>,
}

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    /// Nothing was compared.
    Refused,
    /// The password was looked at.
    Compared,
}

impl Door {
    fn places(&self, name: &str, familiar: bool, ip: IpAddr) -> [Spot; 3] {
        self.keyed.places(name, familiar, ip)
    }

    fn guess(&mut self, name: &str, password: &str, ip: IpAddr, now: OffsetDateTime) -> Attempt {
        let places = self.places(name, false, ip);
        if places.iter().any(|s| self.counters.entry(s.key.clone()).or_default().check(now).is_err()) {
            return Attempt::Refused;
        }
        let wrong = self.keyed.password(name, &Secret::new(password));
        for Spot { place, key, .. } in places {
            self.counters.entry(key).or_default().fail(place, Some(wrong), now);
        }
        Attempt::Compared
    }

    /// The right password at a machine where the person has signed in before.
    fn sign_in(&mut self, name: &str, ip: IpAddr, now: OffsetDateTime) -> bool {
        let places = self.places(name, true, ip);
        let open = places.iter().all(|s| self.counters.entry(s.key.clone()).or_default().check(now).is_ok());
        if open {
            for Spot { place, key, .. } in places {
                self.counters.entry(key).or_default().succeed(place);
            }
        }
        open
    }
}

const ACCOUNTS: usize = 100;
const GUESSES: usize = 10_000;

fn account(n: usize) -> String {
    format!("person{n}@contoso.test")
}

/// A guess every so often, from this many addresses in turn, each of another network; how many were looked at, of each
/// account, and over how many minutes.
fn storm(every: Duration, addresses: usize) -> (Vec<usize>, f64) {
    let mut door = Door { keyed: Keyed::new(&[7; 32], &[]), counters: HashMap::new() };
    let mut compared = vec![0; ACCOUNTS];
    let mut now = datetime!(2026-11-26 09:00 UTC);
    let began = now;
    for n in 0..GUESSES {
        now += every;
        let address = n % addresses;
        let ip = IpAddr::from([198, (address / 256) as u8, (address % 256) as u8, 7]);
        let target = n % ACCOUNTS;
        if door.guess(&account(target), &format!("guess {n}"), ip, now) == Attempt::Compared {
            compared[target] += 1;
        }
        // Everybody signs in where they work, some of them in one office, again and again.
        let person = (n * 31) % ACCOUNTS;
        let office = IpAddr::from([203, 0, 113, (person % 8) as u8]);
        assert!(
            door.sign_in(&account(person), office, now),
            "{} is kept out after {n} guesses",
            account(person)
        );
    }
    (compared, (now - began).as_seconds_f64() / 60.0)
}

#[test]
fn ten_thousand_guesses_on_a_hundred_accounts_are_below_one_a_minute_and_nobody_is_kept_out() {
    // From one machine; from a few; from a botnet in which no address guesses twice.
    for (every, addresses) in [
        (Duration::milliseconds(50), 1),
        (Duration::milliseconds(500), 16),
        (Duration::seconds(1), 2_000),
        (Duration::seconds(6), GUESSES),
    ] {
        let (compared, minutes) = storm(every, addresses);
        // An hour has at least the ten guesses that are free in it.
        let allowed = minutes.max(60.0);
        let most = compared.iter().max().copied().unwrap();
        assert!((most as f64) < allowed, "{most} guesses in {minutes:.0} minutes from {addresses} addresses");
    }
}

#[test]
fn whoever_waits_for_every_pause_to_end_still_guesses_less_than_once_a_minute() {
    let mut door = Door { keyed: Keyed::new(&[7; 32], &[]), counters: HashMap::new() };
    let began = datetime!(2026-11-26 09:00 UTC);
    let (mut now, mut compared) = (began, 0);
    // Two days, a try every ten seconds, each from an address of its own.
    for n in 0..2 * 24 * 360u32 {
        now += Duration::seconds(10);
        let ip = IpAddr::from([198, 18 + (n >> 16) as u8, (n >> 8) as u8, n as u8]);
        compared += u32::from(door.guess(&account(0), &format!("guess {n}"), ip, now) == Attempt::Compared);
    }
    let minutes = (now - began).whole_minutes();
    assert!(i64::from(compared) * 20 < minutes, "{compared} guesses in {minutes} minutes");
}

/// Somebody with a password, at the machine where they have signed in before.
struct Worker {
    name: String,
    machine: Http,
    recovery: Vec<String>,
}

async fn worker(world: &World, n: u8) -> Worker {
    let name = account(usize::from(n));
    let (_, link) = invite(world, &name).await;
    let (_, made) = set_up_password(&world.server, &link, &name).await;
    let made = made.expect(200);
    let recovery = serde_json::from_value(made.json()["recoveryCodes"].clone()).unwrap();
    let machine = browser(&world.server).from(Ipv4Addr::new(127, 9, 9, n)).with("cookie", &made.cookies());
    Worker { name, machine, recovery }
}

#[tokio::test]
async fn people_sign_in_while_somebody_guesses_and_refused_guesses_cost_nothing() {
    let world = World::new().await;
    let mut workers = vec![worker(&world, 1).await, worker(&world, 2).await];
    let (_, mut passkey, _) = person(&world, "eve@contoso.test").await;
    let targets: Vec<String> = (1..=4).map(account).chain(["eve@contoso.test".to_owned()]).collect();
    let mut looked_at: HashMap<&str, u32> = HashMap::new();
    let mut refused_in = std::time::Duration::ZERO;
    let mut refused = 0u32;
    for n in 0..500u32 {
        let target = &targets[n as usize % targets.len()];
        // No two guesses from one network.
        let guesser =
            browser(&world.server).from(Ipv4Addr::new(127, 1 + (n / 200) as u8, (n % 200) as u8, 7));
        let began = Instant::now();
        let answer = with_password(&guesser, target, &format!("guess {n}"), "123456").await;
        match answer.status {
            429 => {
                refused += 1;
                refused_in += began.elapsed();
            }
            401 => *looked_at.entry(target).or_default() += 1,
            other => panic!("{other}: {answer:?}"),
        }
        if n % 125 == 124 {
            for worker in &mut workers {
                let code = worker.recovery.pop().unwrap();
                with_password(&worker.machine, &worker.name, PASSWORD, &code).await.expect(200);
            }
            with_passkey(&browser(&world.server), &mut passkey).await.expect(200);
        }
    }
    // All of it took less than the first pause, so that each account was guessed as often as is free.
    assert!(looked_at.values().all(|n| *n <= 12), "{looked_at:?}");
    assert_eq!(looked_at.len(), targets.len(), "a name that does not exist is treated likewise");
    let each = refused_in / refused;
    assert!(each < std::time::Duration::from_millis(100), "a refused guess costs {each:?}");
}
