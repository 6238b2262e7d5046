//! The lake's questions about flows: one fold over all records that are asked for, wherever they lie.

use std::ops::ControlFlow;

use sekisho_nsg::flow::filter::Filter;
use sekisho_nsg::flow::record::KIND;
use sekisho_store::{Segment, to_ms};
use time::{Duration, OffsetDateTime};

use crate::flow::{FlowRow, STREAM, divide, terms};
use crate::query::instants;
use crate::row::{self, Row};
use crate::segment::Reader;
use crate::wanted::{Is, Machines, Term, Wanted};
use crate::{Lake, LakeError};

/// How long after a flow the event may have happened in which its machine told of it, or of what it missed.
pub const NOTED: Duration = Duration::minutes(15);

/// Which flows are asked for.
#[derive(Debug, Clone)]
pub struct FlowQuery {
    /// Those that these machines told of.
    pub machines: Machines,
    /// Not before this instant, by the machine's clock.
    pub from: OffsetDateTime,
    /// Not after this instant.
    pub to: OffsetDateTime,
    /// And this holds.
    pub filter: Filter,
}

impl FlowQuery {
    fn holds(&self, row: &FlowRow) -> bool {
        (to_ms(self.from)..=to_ms(self.to)).contains(&row.record.flow.at)
            && self.machines.contains(&row.machine)
            && self.filter.holds(&row.record)
    }

    /// What is wanted of a segment of flows, or of events that hold some; `None` when nothing in it can be.
    fn wanted(&self, segment: &Segment) -> Option<Wanted> {
        let are_flows = segment.stream == STREAM;
        let (from, to) =
            (to_ms(self.from), to_ms(if are_flows { self.to } else { self.to.saturating_add(NOTED) }));
        let (low, high) = (segment.machines.0.as_bytes(), segment.machines.1.as_bytes());
        let can =
            to_ms(segment.at.0) <= to && from <= to_ms(segment.at.1) && self.machines.overlaps(low, high);
        let of_kind = || vec![Term { columns: &[row::KIND], is: Is::Text(vec![KIND.to_owned()]) }];
        can.then(|| Wanted {
            machines: self.machines.clone(),
            at: Some((from, to)),
            terms: if are_flows { terms(&self.filter) } else { of_kind() },
        })
    }
}

/// A fold that may end early.
struct Fold<'q, A, T> {
    query: &'q FlowQuery,
    sum: A,
    take: T,
}

impl<A, T: FnMut(&mut A, FlowRow) -> ControlFlow<()>> Fold<'_, A, T> {
    fn offer(&mut self, row: FlowRow) -> ControlFlow<()> {
        if self.query.holds(&row) { (self.take)(&mut self.sum, row) } else { ControlFlow::Continue(()) }
    }

    fn offer_event(&mut self, row: Row) -> ControlFlow<()> {
        divide(row).1.into_iter().try_for_each(|flow| self.offer(flow))
    }
}

impl Lake {
    /// Takes every record that is asked for into account, until `take` has enough, and returns the sum. They come in no
    /// order that can be counted on, but what is known to be newer comes earlier. Whatever happens to segments meanwhile,
    /// each counts once: where one goes while it is read, the sum begins anew with `start`.
    ///
    /// # Errors
    /// As of [`Lake::query`].
    pub async fn flows<A: Send>(
        &self,
        query: &FlowQuery,
        start: impl Fn() -> A + Send,
        mut take: impl FnMut(&mut A, FlowRow) -> ControlFlow<()> + Send,
    ) -> Result<A, LakeError> {
        let mut missing = None;
        loop {
            let mut fold = Fold { query, sum: start(), take: &mut take };
            match self.fold(&mut fold).await {
                Err(LakeError::Missing(segment)) if missing.as_ref() != Some(&segment) => {
                    missing = Some(segment);
                }
                done => return done.map(|()| fold.sum),
            }
        }
    }

    async fn fold<A: Send, T>(&self, fold: &mut Fold<'_, A, T>) -> Result<(), LakeError>
    where
        T: FnMut(&mut A, FlowRow) -> ControlFlow<()> + Send,
    {
        let query = fold.query;
        let machine = match &query.machines {
            Machines::One(machine) => Some(machine.as_str()),
            _ => None,
        };
        // Both in one transaction: a flow is in the one or in the other.
        let mut read = self.store.read().await?;
        let noted = instants((to_ms(query.from), to_ms(query.to.saturating_add(NOTED))));
        let mut done = ControlFlow::Continue(());
        read.each_hot_event(machine, noted, |hot| {
            if done.is_continue() && hot.event.kind == KIND {
                done = fold.offer_event(hot.into());
            }
        })
        .await?;
        let mut segments = read.segments().await?;
        drop(read);
        segments.sort_by_key(|s| std::cmp::Reverse(s.at.1));
        for segment in &segments {
            if done.is_break() {
                break;
            }
            let Some(wanted) = query.wanted(segment) else { continue };
            if segment.stream == STREAM {
                let mut reader = Reader::<FlowRow>::open(&self.objects, segment, &wanted).await?;
                while let Some(row) = reader.next().await?
                    && done.is_continue()
                {
                    done = fold.offer(row);
                }
            } else {
                let mut reader = Reader::<Row>::open(&self.objects, segment, &wanted).await?;
                while let Some(row) = reader.next().await?
                    && done.is_continue()
                {
                    done = fold.offer_event(row);
                }
            }
        }
        Ok(())
    }
}
