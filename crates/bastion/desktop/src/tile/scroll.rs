//! Finds out by how many rows something has been scrolled, so that what a viewer has already is copied instead of said
//! again.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use super::{Area, Framebuffer, Grid, Tile};

/// So many rows have to agree before a way is tried.
const LEAST: u32 = 16;
/// So many ways are tried.
const MOST: usize = 4;

/// The likeliest distances, in rows, from where something is to where it was; the likeliest first.
pub(super) fn ways(before: &Framebuffer, grid: Grid, changed: &[Tile]) -> Vec<i32> {
    // Keyed by chance: a machine does not choose what collides.
    let hasher = RandomState::new();
    let mut columns: HashMap<u16, Vec<&Tile>> = HashMap::new();
    for tile in changed {
        columns.entry(grid.area(tile.number).x).or_default().push(tile);
    }
    let mut votes: HashMap<i32, u32> = HashMap::new();
    for (x, tiles) in columns {
        let Some(column) = tiles.first().map(|tile| grid.area(tile.number)) else { continue };
        let strip = Area { x, y: 0, width: column.width, height: before.size().height() };
        // A row that is there twice says nothing about where it went.
        let mut rows: HashMap<u64, Option<i32>> = HashMap::new();
        for (y, row) in (0..).zip(before.rows(strip)) {
            if !plain(row) {
                rows.entry(hasher.hash_one(row)).and_modify(|at| *at = None).or_insert(Some(y));
            }
        }
        for tile in tiles {
            let area = grid.area(tile.number);
            let now = tile.pixels.chunks_exact(usize::from(area.width.max(1)));
            for (y, row) in (i32::from(area.y)..).zip(now) {
                if !plain(row)
                    && let Some(Some(was)) = rows.get(&hasher.hash_one(row))
                    && *was != y
                {
                    *votes.entry(was - y).or_default() += 1;
                }
            }
        }
    }
    let mut votes: Vec<(i32, u32)> = votes.into_iter().filter(|(_, votes)| *votes >= LEAST).collect();
    votes.sort_unstable_by_key(|(way, votes)| (std::cmp::Reverse(*votes), *way));
    votes.truncate(MOST);
    votes.into_iter().map(|(way, _)| way).collect()
}

/// Of one colour.
fn plain(row: &[u32]) -> bool {
    row.windows(2).all(|pair| pair[0] == pair[1])
}
