//! How late the kernel closes what is over, by what still arrives. Shared with the bench.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use sekisho_lab::Host;
use sekisho_nsg::guard::{Keeper, Opening, Transport};
use sekisho_nsg::policy::NsgPart;

/// The guarded UDP port.
const PORT: u16 = 22;
/// How long the first is open, and how much longer each next one.
const FIRST: Duration = Duration::from_millis(600);
const STEP: Duration = Duration::from_millis(5);

/// Opens the guarded UDP port 22 of `192.0.2.4` for `count` (at most 250) sources, each for a little longer, sends from all
/// of them until long after, and says how late the last packet of each was. Nobody closes anything.
pub(crate) fn measure(web: &Host, admin: &Host, part: &NsgPart, count: u8) -> Vec<Duration> {
    let sources: Vec<String> = (1..=count).map(|n| format!("198.51.100.{n}")).collect();
    // Addresses of the machine's own network would be asked for one by one.
    let script = sources.iter().fold(String::from("set -e;"), |script, source| {
        format!("{script} ip address add {source}/32 dev eth0;")
    });
    shell(admin, &script);
    shell(web, "ip route add 198.51.100.0/24 via 192.0.2.9");
    let receiver = web.bind_udp(at(&format!("192.0.2.4:{PORT}"))).unwrap();
    receiver.set_nonblocking(true).unwrap();
    let senders: Vec<UdpSocket> =
        sources.iter().map(|s| admin.bind_udp(at(&format!("{s}:0"))).unwrap()).collect();
    for sender in &senders {
        sender.connect(at(&format!("192.0.2.4:{PORT}"))).unwrap();
    }
    let given = |n: usize| FIRST + STEP * u32::try_from(n).unwrap();
    let openings: Vec<Opening> = (0..senders.len())
        .map(|n| Opening {
            protocol: Transport::Udp,
            port: PORT,
            source: format!("{}/32", sources[n]).parse().unwrap(),
            mark: u32::try_from(n).unwrap() + 1,
            left: given(n),
        })
        .collect();
    // The kernel counts from some moment after this: nothing is later than it is said to be here.
    let begin = Instant::now();
    web.inside(|| Keeper::default().converge(part, &openings)).unwrap().unwrap();
    let end = given(senders.len()) + Duration::from_millis(400);
    // When each packet had been sent: by then it had arrived or was lost, whenever somebody comes to read it.
    let mut sent: Vec<Vec<Duration>> = vec![Vec::new(); senders.len()];
    let mut last = vec![Duration::ZERO; senders.len()];
    while begin.elapsed() < end {
        for (n, sender) in senders.iter().enumerate() {
            let number = u32::try_from(sent[n].len()).unwrap();
            // What the machine refuses comes back as an error of the next call.
            let _ = sender.send(&[[u8::try_from(n).unwrap()].as_slice(), &number.to_be_bytes()].concat());
            sent[n].push(begin.elapsed());
        }
        let mut packet = [0; 5];
        while receiver.recv(&mut packet).is_ok() {
            let [n, number @ ..] = packet;
            last[usize::from(n)] = sent[usize::from(n)][usize::try_from(u32::from_be_bytes(number)).unwrap()];
        }
    }
    assert!(last.iter().all(|l| *l > FIRST / 2), "some never got through: {last:?}");
    last.iter().enumerate().map(|(n, last)| last.saturating_sub(given(n))).collect()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn shell(host: &Host, script: &str) {
    let output = host.command("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
