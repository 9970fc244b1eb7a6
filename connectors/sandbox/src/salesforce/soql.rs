//! SOQL, as much of it as connectors need: exact, and as unforgiving about quotes and brackets as the real one
//! ("SOQL and SOSL Reference").

use serde_json::Value;

/// A query.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    pub(super) select: Vec<String>,
    pub(super) from: String,
    pub(super) filter: Option<Filter>,
    pub(super) order: Option<(String, bool)>,
    pub(super) limit: Option<usize>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Is { field: String, operator: Operator, values: Vec<Value> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    Like,
    Less,
    AtMost,
    More,
    AtLeast,
    In,
    NotIn,
}

impl Filter {
    pub(super) fn fields(&self) -> Vec<&str> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::fields).collect(),
            Self::Not(part) => part.fields(),
            Self::Is { field, .. } => vec![field],
        }
    }

    pub(super) fn holds(&self, value_of: &dyn Fn(&str) -> Value) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(value_of)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(value_of)),
            Self::Not(part) => !part.holds(value_of),
            Self::Is { field, operator, values } => {
                let held = value_of(field);
                let one = values.first().unwrap_or(&Value::Null);
                match operator {
                    Operator::Equal => same(&held, one),
                    Operator::Unequal => !same(&held, one),
                    Operator::In => values.iter().any(|one| same(&held, one)),
                    Operator::NotIn => !values.iter().any(|one| same(&held, one)),
                    Operator::Like => match (held.as_str(), one.as_str()) {
                        (Some(held), Some(pattern)) => like(&held.to_lowercase(), &pattern.to_lowercase()),
                        _ => false,
                    },
                    Operator::Less => order(&held, one) == Some(std::cmp::Ordering::Less),
                    Operator::AtMost => order(&held, one).is_some_and(std::cmp::Ordering::is_le),
                    Operator::More => order(&held, one) == Some(std::cmp::Ordering::Greater),
                    Operator::AtLeast => order(&held, one).is_some_and(std::cmp::Ordering::is_ge),
                }
            }
        }
    }
}

fn same(held: &Value, asked: &Value) -> bool {
    match (held, asked) {
        // Texts are compared without regard to case.
        (Value::String(held), Value::String(asked)) => held.to_lowercase() == asked.to_lowercase(),
        _ => held == asked,
    }
}

fn order(held: &Value, asked: &Value) -> Option<std::cmp::Ordering> {
    match (held, asked) {
        (Value::String(held), Value::String(asked)) => Some(held.cmp(asked)),
        (Value::Number(held), Value::Number(asked)) => held.as_f64()?.partial_cmp(&asked.as_f64()?),
        _ => None,
    }
}

fn like(held: &str, pattern: &str) -> bool {
    match pattern.chars().next() {
        None => held.is_empty(),
        Some('%') => {
            let rest = &pattern[1..];
            held.char_indices().any(|(at, _)| like(&held[at..], rest)) || like("", rest)
        }
        Some(first) => {
            let mut left = held.chars();
            left.next().is_some_and(|c| first == '_' || c == first) && like(left.as_str(), &pattern[first.len_utf8()..])
        }
    }
}

/// A word, a mark or a literal of the query.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Mark(&'static str),
}

/// Reads a query; `Err` says what is wrong near what.
pub(super) fn parse(text: &str) -> Result<Query, String> {
    let tokens = tokens(text)?;
    let mut reader = Reader { tokens: &tokens, at: 0, depth: 0 };
    let query = reader.query()?;
    match reader.tokens.get(reader.at) {
        None => Ok(query),
        Some(token) => Err(format!("unexpected token: {token:?}")),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let (literal, after) = literal(&rest[1..])?;
            tokens.push(Token::Text(literal));
            rest = after.trim_start();
            continue;
        }
        let mark =
            ["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ","].into_iter().find(|mark| rest.starts_with(mark));
        if let Some(mark) = mark {
            tokens.push(Token::Mark(mark));
            rest = rest[mark.len()..].trim_start();
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_.:+-".contains(c)).unwrap_or(rest.len());
        if end == 0 {
            return Err(format!("line 1:0 no viable alternative at character '{first}'"));
        }
        tokens.push(Token::Word(rest[..end].to_owned()));
        rest = rest[end..].trim_start();
    }
    Ok(tokens)
}

/// A literal after its opening quote, with the escapes that are known and no others.
fn literal(text: &str) -> Result<(String, &str), String> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Ok((out, &text[at + 1..])),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some(c @ ('\'' | '"' | '\\')) => out.push(c),
                Some('n' | 'N') => out.push('\n'),
                Some('r' | 'R') => out.push('\r'),
                Some('t' | 'T') => out.push('\t'),
                // Escapes of wildcards keep their backslash here; only LIKE would need them.
                Some(c @ ('_' | '%')) => out.extend(['\\', c]),
                _ => return Err("Illegal escape sequence in string".to_owned()),
            },
            '\n' | '\r' => return Err("line breaks not allowed in string literals".to_owned()),
            c => out.push(c),
        }
    }
    Err("unterminated string literal".to_owned())
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Word(word)) if word.eq_ignore_ascii_case(wanted));
        self.at += usize::from(found);
        found
    }

    fn mark(&mut self, wanted: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Mark(mark)) if *mark == wanted);
        self.at += usize::from(found);
        found
    }

    fn name(&mut self) -> Result<String, String> {
        match self.tokens.get(self.at) {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(word.clone())
            }
            other => Err(format!("unexpected token: {other:?}")),
        }
    }

    fn must(&mut self, found: bool, what: &str) -> Result<(), String> {
        if found { Ok(()) } else { Err(format!("expecting {what}, found: {:?}", self.tokens.get(self.at))) }
    }

    fn query(&mut self) -> Result<Query, String> {
        let found = self.word("SELECT");
        self.must(found, "SELECT")?;
        let mut select = vec![self.name()?];
        while self.mark(",") {
            select.push(self.name()?);
        }
        let found = self.word("FROM");
        self.must(found, "FROM")?;
        let from = self.name()?;
        let filter = if self.word("WHERE") { Some(self.filter()?) } else { None };
        let mut order = None;
        if self.word("ORDER") {
            let found = self.word("BY");
            self.must(found, "BY")?;
            let field = self.name()?;
            let descends = self.word("DESC");
            if !descends {
                self.word("ASC");
            }
            if self.word("NULLS") && !self.word("LAST") && !self.word("FIRST") {
                return Err("expecting FIRST or LAST".to_owned());
            }
            order = Some((field, descends));
        }
        let limit = match self.word("LIMIT") {
            true => Some(self.name()?.parse().map_err(|_| "expecting a number after LIMIT".to_owned())?),
            false => None,
        };
        Ok(Query { select, from, filter, order, limit })
    }

    /// Conditions joined by one of AND and OR; both need brackets.
    fn filter(&mut self) -> Result<Filter, String> {
        let mut parts = vec![self.term()?];
        let mut joined = None;
        loop {
            let by = if self.word("AND") {
                "AND"
            } else if self.word("OR") {
                "OR"
            } else {
                break;
            };
            if joined.is_some_and(|other| other != by) {
                return Err(format!("unexpected token: '{by}'"));
            }
            joined = Some(by);
            parts.push(self.term()?);
        }
        Ok(if joined == Some("OR") { Filter::Any(parts) } else { Filter::All(parts) })
    }

    fn term(&mut self) -> Result<Filter, String> {
        self.depth += 1;
        if self.depth > 32 {
            return Err("nested too deeply".to_owned());
        }
        let term = self.inner_term();
        self.depth -= 1;
        term
    }

    fn inner_term(&mut self) -> Result<Filter, String> {
        if self.mark("(") {
            let inner = self.filter()?;
            let found = self.mark(")");
            self.must(found, "')'")?;
            return Ok(inner);
        }
        if self.word("NOT") {
            return Ok(Filter::Not(Box::new(self.term()?)));
        }
        let field = self.name()?;
        let operators = [
            ("!=", Operator::Unequal),
            ("<>", Operator::Unequal),
            ("<=", Operator::AtMost),
            (">=", Operator::AtLeast),
            ("=", Operator::Equal),
            ("<", Operator::Less),
            (">", Operator::More),
        ];
        let mut operator = operators.into_iter().find(|(mark, _)| self.mark(mark)).map(|(_, operator)| operator);
        if operator.is_none() && self.word("LIKE") {
            operator = Some(Operator::Like);
        }
        if let Some(operator) = operator {
            let values = vec![self.value()?];
            return Ok(Filter::Is { field, operator, values });
        }
        let not = self.word("NOT");
        let found = self.word("IN") && self.mark("(");
        self.must(found, "an operator")?;
        let mut values = vec![self.value()?];
        while self.mark(",") {
            values.push(self.value()?);
        }
        let found = self.mark(")");
        self.must(found, "')'")?;
        Ok(Filter::Is { field, operator: if not { Operator::NotIn } else { Operator::In }, values })
    }

    fn value(&mut self) -> Result<Value, String> {
        if let Some(Token::Text(text)) = self.tokens.get(self.at) {
            self.at += 1;
            // An empty text is stored as none.
            return Ok(if text.is_empty() { Value::Null } else { Value::from(text.as_str()) });
        }
        let word = self.name()?;
        match word.to_ascii_lowercase().as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "null" => Ok(Value::Null),
            // Days and times stand without quotes.
            _ if word.parse::<jiff::Timestamp>().is_ok() || word.parse::<jiff::civil::Date>().is_ok() => {
                Ok(Value::from(word))
            }
            _ => {
                word.parse::<i64>().map(Value::from).map_err(|_| format!("Bind variables only allowed in Apex: {word}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_real_one_refuses_is_refused() {
        for bad in [
            "SELECT Id",
            "SELECT * FROM Contact",
            "SELECT Id FROM Contact WHERE",
            "SELECT Id FROM Contact WHERE Name = 'O'Neil'",
            "SELECT Id FROM Contact WHERE Name = 'a\\x'",
            "SELECT Id FROM Contact WHERE Name = 'a",
            "SELECT Id FROM Contact WHERE Name = Asha",
            "SELECT Id FROM Contact WHERE Name = 'a' OR Phone = 'b' AND Phone = 'c'",
            "SELECT Id FROM Contact WHERE Phone IN ()",
            "SELECT Id FROM Contact LIMIT many",
            "SELECT Id FROM Contact; DELETE",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn quotes_and_backslashes_arrive_as_they_were() {
        let query =
            parse(r"SELECT Id FROM Contact WHERE (Name = 'O\'Ne\\il' OR Phone IN ('1', '2')) AND A = true").unwrap();
        let holds = |name: &str, phone: &str| {
            query.filter.as_ref().unwrap().holds(&|field| match field {
                "Name" => Value::from(name),
                "Phone" => Value::from(phone),
                _ => Value::Bool(true),
            })
        };
        assert!(holds("o'ne\\il", "3") && holds("x", "2") && !holds("x", "3"));
        assert!(like("abc", "a%c") && like("abc", "_b%") && !like("abc", "b%") && like("", "%"));
    }
}
