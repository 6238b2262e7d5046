//! Percentiles.

/// The value that a share of all, from 0 to 1, does not exceed: the nearest rank. 0 for none.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}

/// Sorted.
pub(crate) fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let values = sorted(vec![3.0, 1.0, 2.0, 4.0]);
        assert_eq!([0.0, 0.5, 0.75, 0.99, 1.0].map(|s| percentile(&values, s)), [1.0, 2.0, 3.0, 4.0, 4.0]);
        assert_eq!(percentile(&[], 0.5), 0.0);
        assert_eq!(percentile(&[7.0], 0.99), 7.0);
    }
}
