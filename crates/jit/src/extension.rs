//! More time for what is open. Whoever would have to say yes to the request has to say yes to it, too; until then, and
//! after a no, what is open ends when it would have. However often it is given, a port is open no longer than its policy
//! lets anybody ask for, counted from when it was opened.

use sekisho_arm::resource::instant;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::request::{Actor, Deciding, Event, Grant, Impossible, Request, Review, State};
use crate::resources::ShownExtension;

/// More time that was asked for, and that somebody must say yes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extension {
    /// Who asked.
    pub by: Actor,
    /// Why.
    pub justification: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// Until when.
    #[serde(with = "time::serde::rfc3339")]
    pub end: OffsetDateTime,
    /// How it is decided on.
    pub deciding: Deciding,
    /// What was decided so far.
    pub reviews: Vec<Review>,
}

impl Extension {
    /// When it is of no use any more.
    pub(crate) fn until(&self) -> OffsetDateTime {
        self.deciding.before.min(self.end)
    }

    /// As it is shown.
    pub(crate) fn shown(&self) -> ShownExtension {
        ShownExtension {
            end_time_utc: instant(self.end),
            requestor: self.by.name.clone(),
            requestor_id: self.by.id.clone(),
            justification: self.justification.clone(),
            ticket_number: self.ticket.clone(),
            approvals_required: self.deciding.required,
            decide_before_utc: instant(self.until()),
            reviews: self.reviews.clone(),
        }
    }
}

fn is_open(grant: &Grant) -> bool {
    grant.state.is_open()
}

impl Request {
    /// Gives what is open another end.
    ///
    /// # Errors
    /// [`Impossible`] when nothing is open.
    pub fn extend(&mut self, end: OffsetDateTime, at: OffsetDateTime, by: Actor) -> Result<(), Impossible> {
        self.must_be_open(Event::Extend)?;
        for grant in self.grants.iter_mut().filter(|g| is_open(g)) {
            grant.end = end;
        }
        self.extension = None;
        self.happen(Event::Extend, at, Some(by), is_open)
    }

    /// Has more time wait for a yes. It takes the place of what was asked for before.
    ///
    /// # Errors
    /// [`Impossible`] when nothing is open.
    pub fn ask_more(&mut self, extension: Extension, at: OffsetDateTime) -> Result<(), Impossible> {
        self.must_be_open(Event::AskExtension)?;
        let by = extension.by.clone();
        self.extension = Some(extension);
        self.happen(Event::AskExtension, at, Some(by), is_open)
    }

    /// Notes what somebody says of it.
    pub(crate) fn review_more(
        &mut self,
        mut extension: Extension,
        review: Review,
        at: OffsetDateTime,
    ) -> Result<(), Impossible> {
        let (by, approved) = (review.by.clone(), review.approved);
        extension.reviews.retain(|r| r.by.id != review.by.id);
        extension.reviews.push(review);
        let yes = extension.reviews.iter().filter(|r| r.approved).count();
        if !approved {
            return self.drop_more(Event::DenyExtension, at, Some(by));
        }
        if yes >= extension.deciding.required {
            return self.extend(extension.end, at, by);
        }
        self.extension = Some(extension);
        Ok(())
    }

    /// Forgets that more time was asked for.
    ///
    /// # Errors
    /// [`Impossible`] when nothing is open.
    pub fn drop_more(
        &mut self,
        event: Event,
        at: OffsetDateTime,
        by: Option<Actor>,
    ) -> Result<(), Impossible> {
        self.must_be_open(event)?;
        self.extension = None;
        self.happen(event, at, by, is_open)
    }

    fn must_be_open(&self, event: Event) -> Result<(), Impossible> {
        let state = self.grants.first().map_or(State::Requested, |g| g.state);
        if self.grants.iter().any(is_open) { Ok(()) } else { Err(Impossible { state, event }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::{NOW, actor, request};
    use time::Duration;

    fn review(name: &str, approved: bool) -> Review {
        Review { by: actor(name), approved, justification: None, at: instant(NOW) }
    }

    fn waiting(required: usize) -> Request {
        let mut open = request(1);
        open.review(review("ken", true), NOW).unwrap();
        let before = NOW + Duration::hours(1);
        let deciding = Deciding { required, group: None, before };
        let end = NOW + Duration::hours(3);
        let (by, justification, ticket, reviews) = (actor("jun"), None, None, Vec::new());
        open.ask_more(Extension { by, justification, ticket, end, deciding, reviews }, NOW).unwrap();
        open
    }

    fn events(request: &Request) -> Vec<Event> {
        request.history.iter().map(|m| m.event).collect()
    }

    #[test]
    fn more_time_needs_as_many_as_the_request_and_until_then_nothing_changes() {
        let mut two = waiting(2);
        let end = two.grants[0].end;
        two.review(review("ken", true), NOW).unwrap();
        two.review(review("ken", true), NOW).unwrap();
        assert_eq!((two.grants[0].end, two.grants[0].state), (end, State::Approved));
        two.review(review("mei", true), NOW).unwrap();
        assert_eq!((two.grants[0].end, two.extension.is_none()), (NOW + Duration::hours(3), true));
        assert_eq!(events(&two), [Event::Approve, Event::AskExtension, Event::Extend]);
        assert!(two.review(review("ann", true), NOW).is_err(), "it is decided once");
        let mut no = waiting(2);
        no.review(review("ken", false), NOW).unwrap();
        assert_eq!((no.grants[0].end, no.extension.is_none(), no.is_over()), (end, true, false));
        assert_eq!(events(&no), [Event::Approve, Event::AskExtension, Event::DenyExtension]);
    }

    #[test]
    fn nobodys_answer_leaves_the_end_as_it_was_and_what_is_over_is_not_extended() {
        let mut late = waiting(1);
        assert_eq!(late.next(), Some(NOW + Duration::hours(1)));
        assert!(late.tick(NOW + Duration::hours(1)));
        assert_eq!(events(&late).last(), Some(&Event::DropExtension));
        assert_eq!((late.extension.is_none(), late.grants[0].state.is_open()), (true, true));
        let mut over = waiting(1);
        over.happen(Event::Revoke, NOW, None, |_| true).unwrap();
        assert!(over.extension.is_none());
        assert!(over.extend(NOW + Duration::hours(9), NOW, actor("jun")).is_err());
        assert!(over.review(review("ken", true), NOW).is_err());
        assert_eq!(over.grants[0].state, State::Revoked);
    }
}
