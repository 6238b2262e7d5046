//! What clients and machines say to each other while they copy files: the first byte says who decides what, and then it is
//! who says so many bytes, and these bytes.

use std::collections::BTreeMap;

use sekisho_bastion_ssh::gate::{Deed, FileEvent, Guard, NotUnderstood, Scp, Sftp, Side, Step, Verdict};

/// The longest file where there is a limit.
const MOST: u64 = 16;

/// What came of a conversation.
#[derive(Debug, Default, PartialEq)]
struct Said {
    passed: [Vec<u8>; 2],
    answered: [Vec<u8>; 2],
    /// What was admitted, and not told to be over.
    open: BTreeMap<(String, String, Option<String>), i64>,
    ended: Vec<FileEvent>,
    error: Option<NotUnderstood>,
}

impl Said {
    fn count(&mut self, event: &FileEvent, by: i64) {
        let key = (format!("{:?}", event.op), event.path.clone(), event.to.clone());
        *self.open.entry(key).or_default() += by;
    }
}

/// `rcp` both ways.
pub fn scp(data: &[u8]) {
    for source in [Side::Client, Side::Machine] {
        let whole = check(data, || Scp::new(source));
        if data.first().is_none_or(|rule| rule % 3 == 0) {
            for (side, said) in [Side::Client, Side::Machine].into_iter().zip(&whole.passed) {
                assert!(fed(data, side).starts_with(said), "something passes that was not said");
            }
        }
    }
}

/// SFTP.
pub fn sftp(data: &[u8]) {
    let whole = check(data, Sftp::default);
    assert!(whole.passed[0].len() <= fed(data, Side::Client).len(), "the machine is told more than was said");
    for event in whole.ended.iter().filter(|event| event.op == Deed::Upload) {
        let limited = data.first().is_some_and(|rule| rule % 3 == 1);
        assert!(!limited || event.sha256.is_none() || event.bytes <= Some(MOST), "a file becomes too large");
    }
}

/// However what is said is cut, the same passes, is asked and told; and all that was admitted is told to be over once.
fn check<G: Guard>(data: &[u8], guard: impl Fn() -> G) -> Said {
    let whole = talk(&mut guard(), data, usize::MAX);
    for step in [1, 3] {
        assert_eq!(talk(&mut guard(), data, step), whole, "cut into pieces of {step}");
    }
    assert!(whole.open.values().all(|left| *left == 0), "{:?}", whole.open);
    whole
}

fn pieces(data: &[u8]) -> Vec<(Side, &[u8])> {
    let mut rest = data.get(1..).unwrap_or_default();
    let mut pieces = Vec::new();
    while let Some((head, more)) = rest.split_first() {
        let side = if head & 0x80 == 0 { Side::Client } else { Side::Machine };
        let (piece, more) = more.split_at(more.len().min(usize::from(head & 0x7f)));
        pieces.push((side, piece));
        rest = more;
    }
    pieces
}

fn fed(data: &[u8], side: Side) -> Vec<u8> {
    pieces(data).into_iter().filter(|(of, _)| *of == side).flat_map(|(_, piece)| piece.to_vec()).collect()
}

fn talk(guard: &mut dyn Guard, data: &[u8], step: usize) -> Said {
    let rule = data.first().copied().unwrap_or_default();
    let decide = |event: &FileEvent| -> Verdict {
        match rule % 3 {
            0 => Ok(None),
            1 => Ok(Some(MOST)),
            _ if event.op == Deed::Download => Err("no".to_owned()),
            _ => Ok(None),
        }
    };
    let mut said = Said::default();
    'all: for (from, piece) in pieces(data) {
        for piece in piece.chunks(step) {
            guard.feed(from, piece);
            for side in [from, from.other()] {
                if let Err(error) = hear(guard, side, &mut said, decide) {
                    said.error = Some(error);
                    break 'all;
                }
            }
        }
    }
    for event in guard.end() {
        said.count(&event, -1);
        said.ended.push(event);
    }
    // What was open is told in no order.
    said.ended.sort_by_key(|event| format!("{event:?}"));
    said
}

fn hear(
    guard: &mut dyn Guard,
    side: Side,
    said: &mut Said,
    decide: impl Fn(&FileEvent) -> Verdict,
) -> Result<(), NotUnderstood> {
    while let Some(step) = guard.next(side)? {
        match step {
            Step::Pass(bytes) => said.passed[side as usize].extend(bytes),
            Step::Answer(bytes) => said.answered[side as usize].extend(bytes),
            Step::Ended(event) => {
                said.count(&event, -1);
                said.ended.push(event);
            }
            Step::Hold => break,
            Step::Ask(event) => {
                let verdict = decide(&event);
                if verdict.is_ok() {
                    said.count(&event, 1);
                }
                guard.decide(verdict);
            }
        }
    }
    Ok(())
}
