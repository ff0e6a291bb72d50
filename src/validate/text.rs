//! Words of messages that more than one rule uses.

/// What to say about a field that nobody knows, with the nearest one that is known.
pub fn unknown(name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| {
            (
                distance(&name.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .min();
    match nearest {
        Some((distance, nearest)) if distance <= 2.max(name.len() / 4) => {
            format!("is not known, did you mean {nearest}?")
        }
        _ if known.is_empty() => "is not known, expected an empty object".to_owned(),
        _ => format!("is not known, expected one of {}", known.join(", ")),
    }
}

/// Edits that lead from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
