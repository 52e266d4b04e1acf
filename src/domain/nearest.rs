//! "Did you mean": the known words nearest to one that nobody knows.

/// Most suggestions in one message.
const SUGGESTIONS_MAX: usize = 3;

/// The known words that differ from `word` by a slip of the keyboard or contain it (or are
/// contained in it), nearest first; none where nothing comes close.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let slips_max = (word.chars().count() / 3).max(2);
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|&(slips, candidate)| slips <= slips_max || contains(word, candidate))
        .collect();
    near.sort();
    near.into_iter()
        .take(SUGGESTIONS_MAX)
        .map(|(_, candidate)| candidate)
        .collect()
}

/// The end of a message: `; did you mean "a" or "b"?`, or nothing.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = nearest(word, known)
        .into_iter()
        .map(|near| format!("\"{near}\""))
        .collect();
    if quoted.is_empty() {
        return String::new();
    }
    format!("; did you mean {}?", quoted.join(" or "))
}

/// Words of fewer than four letters are part of too many others.
fn contains(word: &str, candidate: &str) -> bool {
    let long_enough = |part: &str| part.len() >= 4;
    (long_enough(word) && candidate.contains(word))
        || (long_enough(candidate) && word.contains(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOLS: [&str; 4] = ["image-to-video", "image-edit", "text-to-image", "upscale"];

    #[test]
    fn slips_and_parts_of_words_are_recognised() {
        for (word, expected) in [
            ("image-to-vidoe", &["image-to-video"][..]),
            ("upscaler", &["upscale"]),
            ("edit", &["image-edit"]),
            ("zebra", &[]),
            ("", &[]),
        ] {
            assert_eq!(nearest(word, TOOLS), expected, "{word}");
        }
    }

    #[test]
    fn the_question_is_asked_only_when_there_is_an_answer() {
        assert_eq!(did_you_mean("upscal", TOOLS), "; did you mean \"upscale\"?");
        assert_eq!(did_you_mean("zebra", TOOLS), "");
    }
}
