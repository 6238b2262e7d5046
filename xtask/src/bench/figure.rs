//! A figure: what was measured, what a peer needs for the same, and what was promised.

use serde_json::{Value, json};

/// What a figure must reach.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Target {
    /// In the figure's own unit.
    at_most: Option<f64>,
    against: Option<Against>,
}

#[derive(Debug, Clone, Copy)]
enum Against {
    /// The peer needs at least so many times as much.
    Ahead(f64),
    /// At most so many times what the floor needs.
    Within(f64),
}

impl Target {
    /// Nothing was promised: the figure is there to be seen.
    pub(crate) const NONE: Target = Target { at_most: None, against: None };

    pub(crate) const fn at_most(most: f64) -> Target {
        Target { at_most: Some(most), against: None }
    }

    pub(crate) const fn ahead(self, times: f64) -> Target {
        Target { against: Some(Against::Ahead(times)), ..self }
    }

    pub(crate) const fn within(self, times: f64) -> Target {
        Target { against: Some(Against::Within(times)), ..self }
    }

    /// In words; empty when nothing was promised.
    fn words(self) -> String {
        let most = self.at_most.map(|most| format!("≤ {most}"));
        let against = self.against.map(|against| match against {
            Against::Ahead(times) => format!("peer/ours ≥ {times}"),
            Against::Within(times) => format!("ours/peer ≤ {times}"),
        });
        [most, against].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// How ours and the peer's relate: the larger the better where the target is to be ahead, otherwise what ours costs
    /// in terms of the peer's.
    fn ratio(self, ours: f64, peer: f64) -> f64 {
        if matches!(self.against, Some(Against::Ahead(_))) { peer / ours } else { ours / peer }
    }

    fn holds(self, ours: f64, peer: Option<f64>) -> bool {
        let ratio = peer.map(|peer| self.ratio(ours, peer));
        self.at_most.is_none_or(|most| ours <= most)
            && self.against.is_none_or(|against| match against {
                Against::Ahead(times) => ratio.is_some_and(|r| r >= times),
                Against::Within(times) => ratio.is_some_and(|r| r <= times),
            })
    }
}

/// A figure before it is measured.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) name: String,
    unit: &'static str,
    peer: Option<&'static str>,
    target: Target,
}

/// What came out of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) ours: f64,
    pub(crate) peer: Option<f64>,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, target: Target) -> Figure {
        Figure { name: name.into(), unit, peer: None, target }
    }

    pub(crate) fn against(self, peer: &'static str) -> Figure {
        Figure { peer: Some(peer), ..self }
    }

    /// As one line of JSON. What could not be measured, or not in full, says why and does not hold.
    pub(crate) fn line(&self, area: &str, measured: Option<Measured>, why: &str) -> Value {
        let (ours, peer) = (measured.map(|m| m.ours), measured.and_then(|m| m.peer));
        let whole = ours.is_some() && peer.is_some() == self.peer.is_some();
        let ratio = ours.zip(peer).map(|(ours, peer)| self.target.ratio(ours, peer));
        let mut line = json!({
            "area": area, "figure": self.name, "unit": self.unit, "ours": ours.map(rounded),
            "peer": peer.map(rounded), "peer_name": self.peer, "ratio": ratio.map(rounded),
            "target": self.target.words(),
            "holds": whole && ours.is_some_and(|ours| self.target.holds(ours, peer)),
        });
        if !whole {
            line["error"] = format!("not measured: {why}").into();
        }
        line
    }
}

/// To four digits: what is behind them is noise.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powi(3 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

/// The table of `docs/reference/benchmarks.md`.
pub(crate) fn table(lines: &[Value]) -> String {
    let mut out =
        "| figure | unit | ours | peer | | ratio | target | holds |\n|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for line in lines {
        let text = |field: &str| match &line[field] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Bool(true) => "yes".to_owned(),
            Value::Bool(false) => "**no**".to_owned(),
            other => other.to_string(),
        };
        let cells = ["figure", "unit", "ours", "peer", "peer_name", "ratio", "target", "holds"].map(text);
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(target: Target, measured: Option<Measured>) -> Value {
        Figure::new("f", "ms", target).against("p").line("a", measured, "it rained")
    }

    #[test]
    fn a_figure_holds_when_every_part_of_its_target_does() {
        let both = |ours, peer| Some(Measured { ours, peer: Some(peer) });
        let floor = Target::at_most(30.0).within(1.5);
        assert_eq!(of(floor, both(12.0, 10.0))["holds"], true);
        assert_eq!(of(floor, both(16.0, 10.0))["holds"], false);
        assert_eq!(of(floor, both(31.0, 30.0))["holds"], false);
        let ahead = of(Target::at_most(0.5).ahead(30.0), both(0.4, 26_699.1));
        assert_eq!((&ahead["holds"], &ahead["ratio"]), (&true.into(), &66750.0.into()));
        assert_eq!(of(Target::NONE.ahead(30.0), both(1.0, 29.0))["holds"], false);
        assert_eq!(of(Target::NONE, both(1.0, 29.0))["holds"], true);
    }

    #[test]
    fn what_was_not_measured_says_so_and_does_not_hold() {
        for measured in [None, Some(Measured { ours: 1.0, peer: None })] {
            let line = of(Target::NONE, measured);
            assert_eq!((&line["holds"], &line["error"]), (&false.into(), &"not measured: it rained".into()));
        }
    }
}
