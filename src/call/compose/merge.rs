//! Putting a new version of our text where people have written into the old one.

/// `is` instead of `was` in a text as it `stands` in the CRM, with everything that is not ours left as it is.
///
/// Where our text stands as we wrote it, it is exchanged for the new one. Where people (or the CRM, tidying up) have
/// changed it inside, lines of ours that are out of date go, if they still stand, and new ones are put at the end. A
/// text that would get longer than `most` characters stays as it stands: their words are worth more than our repetition.
pub fn merge(was: &str, is: &str, stands: &str, most: usize) -> String {
    let stands = stands.replace("\r\n", "\n");
    if stands.trim().is_empty() || stands.trim() == was.trim() {
        return is.to_owned();
    }
    let merged = if stands.contains(is.trim()) {
        stands.clone()
    } else if stands.contains(was.trim()) && !was.trim().is_empty() {
        stands.replacen(was.trim(), is.trim(), 1)
    } else {
        lines(was, is, &stands)
    };
    if merged.chars().count() > most { stands } else { merged }
}

fn lines(was: &str, is: &str, stands: &str) -> String {
    let had = |text: &str, line: &str| text.lines().any(|other| other.trim() == line.trim());
    let mut merged: Vec<&str> = stands.lines().filter(|line| !had(was, line) || had(is, line)).collect();
    merged.extend(is.lines().filter(|line| !had(was, line) && !stands.contains(line.trim())));
    merged.join("\n")
}

#[cfg(test)]
mod tests {
    use super::merge;

    const WAS: &str = "From: 1\nCallSid: a";
    const IS: &str = "From: 1\nCallSid: a\nRecording: x";

    #[test]
    fn what_nobody_touched_is_exchanged() {
        assert_eq!(merge(WAS, IS, WAS, 99), IS);
        assert_eq!(merge(WAS, IS, "From: 1\r\nCallSid: a\r\n", 99), IS);
        assert_eq!(merge(WAS, IS, " ", 99), IS);
    }

    #[test]
    fn words_around_ours_stay() {
        assert_eq!(
            merge(WAS, IS, &format!("Urgent!\n{WAS}\nWill call back"), 99),
            format!("Urgent!\n{IS}\nWill call back")
        );
    }

    #[test]
    fn words_inside_ours_stay_and_what_is_new_comes_last() {
        let stands = "From: 1 (Asha)\nShe is angry\nCallSid: a";
        assert_eq!(merge(WAS, IS, stands, 99), format!("{stands}\nRecording: x"));
    }

    #[test]
    fn our_own_lines_that_are_out_of_date_go() {
        let stands = "Agents tried: 2\nnote\nCallSid: a";
        assert_eq!(
            merge("Agents tried: 2\nCallSid: a", "Agent: 3\nCallSid: a", stands, 99),
            "note\nCallSid: a\nAgent: 3"
        );
    }

    #[test]
    fn twice_is_once() {
        let once = merge(WAS, IS, &format!("{WAS}\nnote"), 99);
        assert_eq!(merge(WAS, IS, &once, 99), once);
        let inside = merge(WAS, IS, "From: 1!\nCallSid: a", 99);
        assert_eq!(merge(WAS, IS, &inside, 99), inside);
    }

    #[test]
    fn what_would_not_fit_is_left_out() {
        let stands = format!("{WAS}\n{}", "x".repeat(90));
        assert_eq!(merge(WAS, IS, &stands, 110), stands);
    }
}
