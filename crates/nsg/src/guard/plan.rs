//! What must be changed so that a map holds the pieces that it should.

use std::time::Duration;

use super::Map;
use super::pieces::Piece;

/// How far the kernel's count of what is left may be from ours before it is set anew.
const TOLERANCE: Duration = Duration::from_millis(500);

/// A range of addresses that a map holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) first: u128,
    pub(super) last: u128,
    pub(super) mark: u32,
    /// What is left; `None` is for ever, which only somebody else can have put there.
    pub(super) left: Option<Duration>,
    /// Packets and bytes of its connections.
    pub(super) carried: (u64, u64),
}

/// One change of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// A range is closed.
    Close { map: Map, first: u128, last: u128 },
    /// A piece is opened.
    Open { map: Map, piece: Piece },
}

impl Change {
    /// Whether both do the same to the same map.
    pub(super) fn is_beside(&self, other: &Change) -> bool {
        match (self, other) {
            (Change::Close { map, .. }, Change::Close { map: other, .. })
            | (Change::Open { map, .. }, Change::Open { map: other, .. }) => map == other,
            _ => false,
        }
    }
}

/// The changes, all closings before all openings, as one transaction needs them. Both sides are in order and apart: they
/// are gone through side by side, since ten thousand may be open when one more is.
pub(super) fn changes(map: Map, present: impl IntoIterator<Item = Present>, wanted: &[Piece]) -> Vec<Change> {
    let stays = |p: &Present, w: &Piece| {
        p.mark == w.mark && p.left.is_some_and(|left| left.abs_diff(w.left) <= TOLERANCE)
    };
    let close = |p: Present| Change::Close { map, first: p.first, last: p.last };
    let (mut closed, mut opened) = (Vec::new(), Vec::new());
    let mut present = present.into_iter().peekable();
    for piece in wanted {
        let range = (piece.first, piece.last);
        while let Some(before) = present.next_if(|p| (p.first, p.last) < range) {
            closed.push(close(before));
        }
        let same = present.next_if(|p| (p.first, p.last) == range);
        if !same.is_some_and(|p| stays(&p, piece)) {
            closed.extend(same.map(close));
            opened.push(Change::Open { map, piece: *piece });
        }
    }
    closed.extend(present.map(close));
    closed.append(&mut opened);
    closed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Transport;

    const MAP: Map = Map { protocol: Transport::Udp, port: 53, v4: true };

    fn piece(first: u128, last: u128, mark: u32, seconds: u64) -> Piece {
        Piece { first, last, mark, left: Duration::from_secs(seconds) }
    }

    fn present(first: u128, last: u128, mark: u32, milliseconds: u64) -> Present {
        let left = Some(Duration::from_millis(milliseconds));
        Present { first, last, mark, left, carried: (0, 0) }
    }

    #[test]
    fn what_counts_rightly_goes_on_and_everything_else_is_closed_before_anything_is_opened() {
        let close = |first, last| Change::Close { map: MAP, first, last };
        let open = |piece| Change::Open { map: MAP, piece };
        let counts = present(1, 1, 7, 59_800);
        assert_eq!(changes(MAP, [counts], &[piece(1, 1, 7, 60)]), []);
        // More time, less time, another grant, another range.
        for wanted in [piece(1, 1, 7, 120), piece(1, 1, 7, 30), piece(1, 1, 8, 60), piece(1, 2, 7, 60)] {
            assert_eq!(changes(MAP, [counts], &[wanted]), [close(1, 1), open(wanted)]);
        }
        assert_eq!(changes(MAP, [counts], &[]), [close(1, 1)]);
        // What never ends is not ours.
        let forever = Present { left: None, ..counts };
        assert_eq!(changes(MAP, [forever], &[piece(1, 1, 7, 60)]), [close(1, 1), open(piece(1, 1, 7, 60))]);
        let all = changes(MAP, [present(1, 1, 7, 1000), present(5, 6, 8, 1000)], &[piece(9, 9, 9, 9)]);
        assert_eq!(all, [close(1, 1), close(5, 6), open(piece(9, 9, 9, 9))]);
    }
}
