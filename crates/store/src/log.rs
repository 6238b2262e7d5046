//! The rows of the audit log: entries, and the complete subtrees above them.
//!
//! Entries of which only the hash is left come before all others. What is derived from entries, the nodes, is made anew
//! wherever entries come from somewhere else.

use std::collections::HashMap;

use sekisho_arm::StoreError;
use sekisho_audit::tree::{Node, Plan, leaf_hash};
use sekisho_audit::{Frontier, Hash, Leaf, legacy};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row as _};

use crate::rows::{INSERTED, failed, insertion, to_ms};
use crate::transaction::ReadTransaction;
use crate::{Recorded, Store};

/// Rows of one statement, and entries read at once.
const ROWS: usize = 200;
const PAGE: i64 = 1000;

/// A row of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub sequence: i64,
    /// Its hash.
    pub hash: Hash,
    /// Its exact bytes, while they are kept.
    pub leaf: Option<String>,
}

impl Entry {
    fn read(row: &AnyRow) -> Result<Entry, StoreError> {
        let sequence: i64 = row.try_get("sequence").map_err(failed)?;
        let hash: String = row.try_get("hash").map_err(failed)?;
        let leaf: String = row.try_get("leaf").map_err(failed)?;
        let hash = Hash::parse(&hash)
            .ok_or_else(|| broken(&format!("the hash of entry {sequence} cannot be read")))?;
        Ok(Entry { sequence, hash, leaf: Some(leaf).filter(|l| !l.is_empty()) })
    }
}

fn broken(what: &str) -> StoreError {
    StoreError::Corrupt(format!("audit log: {what}"))
}

fn size_of(sequence: i64) -> u64 {
    u64::try_from(sequence).unwrap_or(0)
}

fn number(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// The last entry's number and hash.
pub(crate) async fn last(connection: &mut AnyConnection) -> Result<Option<(i64, Hash)>, StoreError> {
    let row = sqlx::query("SELECT sequence, hash, leaf FROM audit ORDER BY sequence DESC LIMIT 1")
        .fetch_optional(connection)
        .await
        .map_err(failed)?;
    row.as_ref().map(Entry::read).transpose().map(|entry| entry.map(|e| (e.sequence, e.hash)))
}

pub(crate) async fn entries(
    connection: &mut AnyConnection,
    after: i64,
    limit: i64,
) -> Result<Vec<Entry>, StoreError> {
    let rows =
        sqlx::query("SELECT sequence, hash, leaf FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2")
            .bind(after)
            .bind(limit)
            .fetch_all(connection)
            .await
            .map_err(failed)?;
    rows.iter().map(Entry::read).collect()
}

/// Whole entries from `from` downward.
pub(crate) async fn page(pool: &AnyPool, from: i64, limit: i64) -> Result<Vec<Recorded>, StoreError> {
    let rows = sqlx::query(
        "SELECT sequence, hash, leaf FROM audit WHERE sequence <= $1 ORDER BY sequence DESC LIMIT $2",
    )
    .bind(from)
    .bind(limit)
    .fetch_all(pool)
    .await
    .map_err(failed)?;
    let mut page = Vec::with_capacity(rows.len());
    for row in &rows {
        let Entry { sequence, hash, leaf } = Entry::read(row)?;
        let Some(text) = leaf else { break };
        let leaf: Leaf =
            serde_json::from_str(&text).map_err(|e| broken(&format!("entry {sequence}: {e}")))?;
        page.push(Recorded { leaf, hash });
    }
    Ok(page)
}

/// An entry that is to be kept.
pub(crate) struct Written {
    pub(crate) sequence: i64,
    pub(crate) hash: Hash,
    pub(crate) leaf: String,
    pub(crate) at_ms: i64,
}

/// Keeps entries.
pub(crate) async fn insert(connection: &mut AnyConnection, entries: &[Written]) -> Result<(), StoreError> {
    for chunk in entries.chunks(INSERTED) {
        let mut query = insertion("audit", &["sequence", "hash", "leaf", "at_ms"], chunk.len());
        for entry in chunk {
            query = query
                .bind(entry.sequence)
                .bind(entry.hash.to_string())
                .bind(entry.leaf.clone())
                .bind(entry.at_ms);
        }
        query.execute(&mut *connection).await.map_err(failed)?;
    }
    Ok(())
}

/// Keeps nodes.
pub(crate) async fn insert_nodes(
    connection: &mut AnyConnection,
    nodes: &[(Node, Hash)],
) -> Result<(), StoreError> {
    for chunk in nodes.chunks(INSERTED) {
        let mut query = insertion("audit_node", &["level", "idx", "hash"], chunk.len());
        for (node, hash) in chunk {
            query = query.bind(i64::from(node.level)).bind(number(node.index)).bind(hash.to_string());
        }
        query.execute(&mut *connection).await.map_err(failed)?;
    }
    Ok(())
}

/// Reads nodes, leaves among them.
pub(crate) async fn nodes(
    connection: &mut AnyConnection,
    wanted: impl IntoIterator<Item = Node>,
) -> Result<HashMap<Node, Hash>, StoreError> {
    let (leaves, inner): (Vec<Node>, Vec<Node>) = wanted.into_iter().partition(|node| node.level == 0);
    // Numbers of our own need no parameters.
    let leaves = leaves.chunks(ROWS).map(|chunk| {
        let places: Vec<String> = chunk.iter().map(|n| (number(n.index) + 1).to_string()).collect();
        let what = "SELECT CAST(0 AS BIGINT) AS level, sequence - 1 AS idx, hash FROM audit";
        format!("{what} WHERE sequence IN ({})", places.join(", "))
    });
    let inner = inner.chunks(ROWS).map(|chunk| {
        let place = |n: &Node| format!("(level = {} AND idx = {})", n.level, number(n.index));
        let places: Vec<String> = chunk.iter().map(place).collect();
        format!("SELECT level, idx, hash FROM audit_node WHERE {}", places.join(" OR "))
    });
    let mut found = HashMap::new();
    for sql in leaves.chain(inner).collect::<Vec<_>>() {
        let rows = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(&mut *connection).await;
        found.extend(rows.map_err(failed)?.iter().map(node).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

fn node(row: &AnyRow) -> Result<(Node, Hash), StoreError> {
    let number = |column: &str| row.try_get::<i64, _>(column).map_err(failed);
    let (level, index) = (number("level")?, number("idx")?);
    let hash: String = row.try_get("hash").map_err(failed)?;
    let node = Node { level: u32::try_from(level).unwrap_or(u32::MAX), index: size_of(index) };
    let hash =
        Hash::parse(&hash).ok_or_else(|| broken(&format!("the node {level}/{index} cannot be read")))?;
    Ok((node, hash))
}

/// The frontier at a size.
pub(crate) async fn frontier(connection: &mut AnyConnection, size: u64) -> Result<Frontier, StoreError> {
    let wanted = Frontier::nodes_of(size);
    let found = nodes(connection, wanted.iter().copied()).await?;
    let hashes: Option<Vec<Hash>> = wanted.iter().map(|node| found.get(node).copied()).collect();
    hashes
        .and_then(|hashes| Frontier::of(size, hashes))
        .ok_or_else(|| broken(&format!("the tree over {size} entries is not whole")))
}

/// What the hashes of entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hashed {
    /// Leaves of the tree.
    Tree,
    /// Links of the chain that came before it.
    Chain,
}

/// Makes the nodes over all entries, of which there are none yet, and checks the entries on the way; those of the chain
/// become leaves.
pub(crate) async fn grow(connection: &mut AnyConnection, hashed: Hashed) -> Result<(), StoreError> {
    let (mut tree, mut link) = (Frontier::default(), legacy::FIRST);
    loop {
        let page = entries(connection, number(tree.size()), PAGE).await?;
        if page.is_empty() {
            return Ok(());
        }
        let mut made = Vec::new();
        for entry in page {
            let hash = match hashed {
                Hashed::Tree => checked(&entry, tree.size())?,
                Hashed::Chain => {
                    link = legacy::link(&link, entry.leaf.as_deref().unwrap_or_default().as_bytes());
                    become_leaf(connection, &entry, tree.size(), &link).await?
                }
            };
            made.extend(tree.append(hash));
        }
        insert_nodes(connection, &made).await?;
    }
}

async fn become_leaf(
    connection: &mut AnyConnection,
    entry: &Entry,
    before: u64,
    link: &Hash,
) -> Result<Hash, StoreError> {
    if entry.hash != *link {
        return Err(changed(entry.sequence));
    }
    let text = entry.leaf.as_deref().unwrap_or_default();
    let hash = leaf_hash(text.as_bytes());
    checked(&Entry { hash, ..entry.clone() }, before)?;
    let leaf: Leaf = serde_json::from_str(text).map_err(|_| changed(entry.sequence))?;
    sqlx::query("UPDATE audit SET hash = $1, at_ms = $2 WHERE sequence = $3")
        .bind(hash.to_string())
        .bind(to_ms(leaf.at))
        .bind(entry.sequence)
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(hash)
}

fn changed(sequence: i64) -> StoreError {
    broken(&format!("entry {sequence} was changed after it was written"))
}

/// The hash of an entry that follows so many others and fits its content.
fn checked(entry: &Entry, before: u64) -> Result<Hash, StoreError> {
    if size_of(entry.sequence) != before + 1 {
        let expected = before + 1;
        return Err(broken(&format!("entry {expected} is missing: entry {} follows", entry.sequence)));
    }
    let fits = entry.leaf.as_ref().is_none_or(|text| {
        leaf_hash(text.as_bytes()) == entry.hash
            && serde_json::from_str::<Leaf>(text).is_ok_and(|leaf| leaf.sequence == entry.sequence)
    });
    if fits { Ok(entry.hash) } else { Err(changed(entry.sequence)) }
}

/// Checks all entries and all nodes above them; returns how many entries there are, and the root.
async fn verify(connection: &mut AnyConnection) -> Result<(u64, Hash), StoreError> {
    let mut tree = Frontier::default();
    loop {
        let page = entries(connection, number(tree.size()), PAGE).await?;
        if page.is_empty() {
            return Ok((tree.size(), tree.root()));
        }
        let mut made = Vec::new();
        for entry in page {
            let hash = checked(&entry, tree.size())?;
            made.extend(tree.append(hash));
        }
        let stored = nodes(connection, made.iter().map(|(node, _)| *node)).await?;
        if let Some((node, _)) = made.iter().find(|(node, hash)| stored.get(node) != Some(hash)) {
            let last = (node.index + 1) << node.level;
            return Err(broken(&format!("the tree over entry {last} was changed after it was written")));
        }
    }
}

impl ReadTransaction {
    /// How many entries the audit log has.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn log_size(&mut self) -> Result<u64, StoreError> {
        Ok(last(&mut self.tx).await?.map_or(0, |(sequence, _)| size_of(sequence)))
    }

    /// What the log's tree was at a size.
    ///
    /// # Errors
    /// When the database does not answer, or has not so many entries.
    pub async fn log_at(&mut self, size: u64) -> Result<Frontier, StoreError> {
        frontier(&mut self.tx, size).await
    }

    /// A proof.
    ///
    /// # Errors
    /// When the database does not answer, or has not so many entries.
    pub async fn log_proof(&mut self, plan: &Plan) -> Result<Vec<Hash>, StoreError> {
        let found = nodes(&mut self.tx, plan.nodes()).await?;
        plan.fill(|node| found.get(&node).copied()).ok_or_else(|| broken("a node is missing"))
    }

    /// Entries after a number, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn log_entries(&mut self, after: i64, limit: i64) -> Result<Vec<Entry>, StoreError> {
        entries(&mut self.tx, after, limit).await
    }

    /// The first entry of which more than the hash is kept; the number of the next one when there is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn log_begins(&mut self) -> Result<i64, StoreError> {
        begins(&mut self.tx).await
    }

    /// Checks all of the log; returns how many entries it has and its root.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] naming the first entry that does not fit.
    pub async fn log_verify(&mut self) -> Result<(u64, Hash), StoreError> {
        verify(&mut self.tx).await
    }
}

async fn begins(connection: &mut AnyConnection) -> Result<i64, StoreError> {
    let (mut pruned, mut whole) = (0, last(connection).await?.map_or(0, |(sequence, _)| sequence) + 1);
    while whole - pruned > 1 {
        let middle = pruned + (whole - pruned) / 2;
        match entries(connection, middle - 1, 1).await?.first() {
            Some(entry) if entry.leaf.is_none() => pruned = middle,
            _ => whole = middle,
        }
    }
    Ok(whole)
}

impl Store {
    /// Forgets the content of entries that are older than an instant and have only such before them; their hashes stay.
    /// Returns how many.
    ///
    /// # Errors
    /// When the commit failed.
    pub async fn log_prune(&self, before: time::OffsetDateTime) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            // One page at a time, so that nobody waits for long.
            let pruned = self
                .run::<_, StoreError, _>(move |tx| {
                    Box::pin(async move { prune(tx.connection, to_ms(before)).await })
                })
                .await?;
            all += pruned;
            if pruned < PAGE.unsigned_abs() {
                return Ok(all);
            }
        }
    }
}

async fn prune(connection: &mut AnyConnection, before: i64) -> Result<u64, StoreError> {
    let first = begins(connection).await?;
    let rows = sqlx::query("SELECT at_ms FROM audit WHERE sequence >= $1 ORDER BY sequence LIMIT $2")
        .bind(first)
        .bind(PAGE)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let old = |row: &&AnyRow| row.try_get::<i64, _>("at_ms").is_ok_and(|at| at < before);
    let count = i64::try_from(rows.iter().take_while(old).count()).unwrap_or(0);
    sqlx::query("UPDATE audit SET leaf = '' WHERE sequence >= $1 AND sequence < $2")
        .bind(first)
        .bind(first + count)
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(count.unsigned_abs())
}
