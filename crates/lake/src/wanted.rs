//! What a reader wants of a segment, so far as a segment can tell without being read: by the bounds of its row groups and
//! pages, and by what its columns know of their values.

use arrow_array::Array;
use arrow_array::cast::AsArray as _;
use arrow_array::types::UInt16Type;

/// Of which machines, by their lower-cased ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Machines {
    /// Of all.
    #[default]
    All,
    /// Of this one.
    One(String),
    /// Of those whose id begins so.
    Below(String),
}

impl Machines {
    /// Whether a machine is among them.
    pub fn contains(&self, machine: &str) -> bool {
        match self {
            Machines::All => true,
            Machines::One(one) => one == machine,
            Machines::Below(start) => machine.starts_with(start),
        }
    }

    /// Whether some between two can be among them.
    pub(crate) fn overlaps(&self, low: &[u8], high: &[u8]) -> bool {
        match self {
            Machines::All => true,
            Machines::One(one) => low <= one.as_bytes() && one.as_bytes() <= high,
            Machines::Below(start) => {
                start.as_bytes() <= high && (low <= start.as_bytes() || low.starts_with(start.as_bytes()))
            }
        }
    }
}

/// What one of some columns must hold.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    /// The columns, all of the type of `is`.
    pub(crate) columns: &'static [usize],
    /// One of these.
    pub(crate) is: Is,
}

/// What a column must hold.
#[derive(Debug, Clone)]
pub(crate) enum Is {
    /// One of these texts.
    Text(Vec<String>),
    /// This text, in capitals or not.
    AnyCase(String),
    /// This number.
    Number(u16),
}

impl Is {
    pub(crate) fn holds(&self, column: &dyn Array, row: usize) -> Option<bool> {
        let text =
            || column.as_string_opt::<i32>().map(|texts| texts.is_valid(row).then(|| texts.value(row)));
        match self {
            Is::Text(any) => text().map(|text| text.is_some_and(|text| any.iter().any(|a| a == text))),
            Is::AnyCase(one) => text().map(|text| text.is_some_and(|text| text.eq_ignore_ascii_case(one))),
            Is::Number(one) => column.as_primitive_opt::<UInt16Type>().map(|n| n.value(row) == *one),
        }
    }

    /// Whether a value between two can be it.
    pub(crate) fn may(&self, bounds: Option<(&[u8], &[u8])>) -> bool {
        match (self, bounds) {
            (Is::Text(any), Some((low, high))) => {
                any.iter().any(|a| low <= a.as_bytes() && a.as_bytes() <= high)
            }
            _ => true,
        }
    }
}

/// Which rows of a segment are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Of these machines.
    pub(crate) machines: Machines,
    /// Not before and not after, in milliseconds.
    pub(crate) at: Option<(i64, i64)>,
    /// And all of this holds.
    pub(crate) terms: Vec<Term>,
}

impl Wanted {
    /// Whether rows between these bounds can be wanted. A bound that is not known excludes nothing.
    pub(crate) fn overlaps(&self, machines: Option<(&[u8], &[u8])>, at: Option<(i64, i64)>) -> bool {
        machines.is_none_or(|(low, high)| self.machines.overlaps(low, high))
            && self.at.zip(at).is_none_or(|((from, to), (low, high))| from <= high && low <= to)
    }

    /// The terms that speak of one column alone: only these say something about its pages.
    pub(crate) fn single(&self) -> impl Iterator<Item = (usize, &Is)> {
        self.terms.iter().filter_map(|term| match term.columns {
            [column] => Some((*column, &term.is)),
            _ => None,
        })
    }
}
