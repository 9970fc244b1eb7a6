//! What the kit found, for a person or as JSON.

use serde::Serialize;

use super::{
    calls::Calls,
    rules::{Rule, Verdict},
};

/// Of a line of the report.
const WIDTH: usize = 100;

#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) rule: &'static str,
    pub(super) verdict: Verdict,
    expected: &'static str,
    pub(super) came: String,
    why: &'static str,
    source: &'static str,
    cure: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    to: String,
    rate: u32,
    calls: usize,
    passed: usize,
    warned: usize,
    failed: usize,
    not_applicable: usize,
    pub(super) rules: Vec<Finding>,
}

impl Report {
    pub(super) fn new(to: String, rate: u32, rules: &[&Rule], calls: &Calls) -> Self {
        let finding = |rule: &&Rule| {
            let judgement = rule.judge(calls);
            let Rule { id, expects, why, source, cure, .. } = **rule;
            let super::rules::Judgement { verdict, came } = judgement;
            Finding { rule: id, verdict, expected: expects, came, why, source, cure }
        };
        let rules: Vec<Finding> = rules.iter().map(finding).collect();
        let of = |verdict| rules.iter().filter(|finding| finding.verdict == verdict).count();
        Self {
            to,
            rate,
            calls: calls.all.len(),
            passed: of(Verdict::Pass),
            warned: of(Verdict::Warn),
            failed: of(Verdict::Fail),
            not_applicable: of(Verdict::NotApplicable),
            rules,
        }
    }

    pub(super) fn good(&self) -> bool {
        self.failed == 0
    }

    pub(super) fn table(&self) -> String {
        let mut lines = vec![format!("{} at {} Hz, {} calls", self.to, self.rate, self.calls), String::new()];
        let column = self.rules.iter().map(|finding| finding.rule.len()).max().unwrap_or_default();
        for finding in &self.rules {
            let Finding { rule, verdict, expected, came, why, source, cure } = finding;
            let head = format!("{:<4}  {rule:<column$}  ", verdict.name());
            wrapped(&head, came, &mut lines);
            if matches!(verdict, Verdict::Warn | Verdict::Fail) {
                let margin = " ".repeat(head.len());
                wrapped(&format!("{margin}expected: "), expected, &mut lines);
                wrapped(&format!("{margin}because:  "), &format!("{why} ({source})"), &mut lines);
                wrapped(&format!("{margin}do:       "), cure, &mut lines);
            }
        }
        let Self { passed, warned, failed, not_applicable, .. } = self;
        lines.push(String::new());
        lines.push(format!("{passed} passed, {warned} warnings, {failed} failed, {not_applicable} not applicable"));
        lines.join("\n") + "\n"
    }
}

/// A text behind a head, in lines that end at a word; those after the first stand below it.
fn wrapped(head: &str, text: &str, lines: &mut Vec<String>) {
    let mut line = head.to_owned();
    let margin = " ".repeat(head.chars().count());
    for word in text.split(' ') {
        if line.chars().count() + word.chars().count() > WIDTH && line.trim() != head.trim() {
            lines.push(std::mem::replace(&mut line, margin.clone()).trim_end().to_owned());
        }
        line.push_str(word);
        line.push(' ');
    }
    lines.push(line.trim_end().to_owned());
}
