//! Does this tuple match? Decided from the two alone.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use super::tuple::{Field, FieldType, Tuple};

/// What the tuples have in common that somebody looks for: as many fields as it has, and each as it says.
#[derive(Clone, Debug, Hash)]
pub struct Pattern(Box<[FieldPattern]>);

/// What one field must be.
#[derive(Clone, Debug, Hash)]
pub enum FieldPattern {
    /// Equal to this.
    Exact(Field),
    Any,
    /// Of this type.
    Typed(FieldType),
    Predicate(Predicate),
}

/// A condition on a field. `>`, `>=`, `<` and `<=` compare numbers where a number stands behind them, else strings, by
/// their characters. `!=` reads what stands behind it as the field's type: a number, a text, `true` or `false`. The
/// others look into strings. A field of any other type does not match, and neither does a float that is not a number,
/// whatever the condition.
#[derive(Clone, Debug)]
pub struct Predicate {
    operator: Operator,
    operand: Box<str>,
    number: Option<Number>,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Operator {
    GreaterOrEqual,
    LessOrEqual,
    NotEqual,
    Greater,
    Less,
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Clone, Copy, Debug)]
enum Number {
    Int(i64),
    Float(f64),
}

/// A predicate that says nothing this node understands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no predicate; write >10, >=10, <10, <=10, !=10, startsWith:foo, endsWith:foo or contains:foo"
)]
pub struct InvalidPattern(String);

/// Longer ones stand before those that they begin with.
const OPERATORS: [(&str, Operator); 8] = [
    (">=", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("!=", Operator::NotEqual),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("startsWith:", Operator::StartsWith),
    ("endsWith:", Operator::EndsWith),
    ("contains:", Operator::Contains),
];

impl Hash for Predicate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.operator, &self.operand).hash(state);
    }
}

impl Pattern {
    pub fn new(fields: impl Into<Box<[FieldPattern]>>) -> Self {
        Self(fields.into())
    }

    /// A pattern that only tuples equal to this match.
    pub fn exactly(tuple: &Tuple) -> Self {
        let fields = tuple.fields().iter().cloned();
        Self(fields.map(FieldPattern::Exact).collect())
    }

    pub fn arity(&self) -> usize {
        self.0.len()
    }

    /// The first field, where it must be equal to something.
    pub fn first(&self) -> Option<&Field> {
        match self.0.first() {
            Some(FieldPattern::Exact(field)) => Some(field),
            _ => None,
        }
    }

    pub fn matches(&self, tuple: &Tuple) -> bool {
        self.arity() == tuple.arity()
            && self
                .0
                .iter()
                .zip(tuple.fields())
                .all(|(wanted, field)| wanted.matches(field))
    }

    /// The bytes of what it compares with.
    pub fn bytes(&self) -> usize {
        let bytes = |field: &FieldPattern| match field {
            FieldPattern::Exact(field) => field.bytes(),
            FieldPattern::Predicate(predicate) => size_of::<Predicate>() + predicate.operand.len(),
            FieldPattern::Any | FieldPattern::Typed(_) => 0,
        };
        let own = self.0.len() * size_of::<FieldPattern>();
        own + self.0.iter().map(bytes).sum::<usize>()
    }
}

impl FieldPattern {
    fn matches(&self, field: &Field) -> bool {
        match self {
            Self::Exact(wanted) => wanted == field,
            Self::Any => true,
            Self::Typed(wanted) => *wanted == field.field_type(),
            Self::Predicate(predicate) => predicate.holds(field),
        }
    }
}

impl Predicate {
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let found = OPERATORS
            .iter()
            .find_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?)));
        let Some((&operator, operand)) = found else {
            return Err(InvalidPattern(text.chars().take(64).collect()));
        };
        Ok(Self {
            operator,
            operand: operand.into(),
            number: Number::parse(operand.trim()),
        })
    }

    fn holds(&self, field: &Field) -> bool {
        match (field, self.operator) {
            (Field::String(text), Operator::StartsWith) => text.starts_with(&*self.operand),
            (Field::String(text), Operator::EndsWith) => text.ends_with(&*self.operand),
            (Field::String(text), Operator::Contains) => text.contains(&*self.operand),
            (_, Operator::StartsWith | Operator::EndsWith | Operator::Contains) => false,
            (Field::Bool(truth), Operator::NotEqual) => {
                let operand = self.operand.trim().parse::<bool>();
                operand.is_ok_and(|operand| operand != *truth)
            }
            (Field::String(_), operator) if operator.orders() && self.number.is_some() => false,
            (Field::String(text), operator) => operator.holds((**text).cmp(&*self.operand)),
            (Field::Int(number), operator) => self.compares(Number::Int(*number), operator),
            (Field::Float(number), operator) => self.compares(Number::Float(*number), operator),
            (Field::Bool(_) | Field::Bytes(_) | Field::Null, _) => false,
        }
    }

    fn compares(&self, field: Number, operator: Operator) -> bool {
        let ordering = self.number.and_then(|operand| field.compare(operand));
        ordering.is_some_and(|ordering| operator.holds(ordering))
    }
}

impl Operator {
    fn orders(self) -> bool {
        matches!(
            self,
            Self::GreaterOrEqual | Self::LessOrEqual | Self::Greater | Self::Less
        )
    }

    fn holds(self, field_to_operand: Ordering) -> bool {
        match self {
            Self::GreaterOrEqual => field_to_operand.is_ge(),
            Self::LessOrEqual => field_to_operand.is_le(),
            Self::NotEqual => field_to_operand.is_ne(),
            Self::Greater => field_to_operand.is_gt(),
            Self::Less => field_to_operand.is_lt(),
            Self::StartsWith | Self::EndsWith | Self::Contains => false,
        }
    }
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        let int = text.parse().map(Self::Int);
        int.or_else(|_| text.parse().map(Self::Float)).ok()
    }

    /// Exact where an integer is larger than a float can tell. `None` with what is not a number.
    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => Some(one.cmp(&other)),
            (Self::Float(one), Self::Float(other)) => one.partial_cmp(&other),
            (Self::Int(int), Self::Float(float)) => compare(int, float),
            (Self::Float(float), Self::Int(int)) => compare(int, float).map(Ordering::reverse),
        }
    }
}

fn compare(int: i64, float: f64) -> Option<Ordering> {
    const PAST_I64: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        None
    } else if float >= PAST_I64 {
        Some(Ordering::Less)
    } else if float < -PAST_I64 {
        Some(Ordering::Greater)
    } else {
        let whole = int.cmp(&(float.trunc() as i64));
        Some(whole.then(0.0_f64.total_cmp(&(float.fract() + 0.0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(predicate: &str, field: impl Into<Field>) -> bool {
        Predicate::parse(predicate).unwrap().holds(&field.into())
    }

    #[test]
    fn a_predicate_compares_numbers_with_numbers_and_texts_with_texts() {
        let check = |predicate: &str, field: Field, expected: bool| {
            assert_eq!(
                holds(predicate, field.clone()),
                expected,
                "{predicate} {field:?}"
            );
        };
        check(">10", Field::Int(11), true);
        check(">10", Field::Int(10), false);
        check(">10", Field::Float(10.5), true);
        check("> 10", Field::Int(11), true);
        check(">=10", Field::Int(10), true);
        check("<10", Field::Int(9), true);
        check("<10", Field::Int(10), false);
        check("<=10", Field::Float(10.0), true);
        check("<-2.5", Field::Int(-3), true);
        check(">-2.5", Field::Int(-2), true);
        check("!=10", Field::Int(10), false);
        check("!=10", Field::Int(9), true);
        check("!=10", Field::Float(10.0), false);
        check("!=ten", Field::Int(10), false);
        check(">9", "order-7".into(), false);
        check("!=9", "order-7".into(), true);
        check("!=9", "9".into(), false);
        check(">=2026-01-01", "2026-11-25".into(), true);
        check(">a", "b".into(), true);
        check("!=a", "b".into(), true);
        check("!=true", Field::Bool(false), true);
        check(">false", Field::Bool(true), false);
        check("!=1", Field::Null, false);
        check("!=1", Field::Bytes(Box::default()), false);
        check(">", "a".into(), true);
    }

    #[test]
    fn what_is_not_a_number_is_neither_more_nor_less_nor_other() {
        for predicate in [">1", "<1", ">=1", "<=1", "!=1", "!=NaN", ">NaN"] {
            assert!(!holds(predicate, f64::NAN), "{predicate}");
            if predicate.contains("NaN") {
                assert!(
                    !holds(predicate, 1.0) && !holds(predicate, 1),
                    "{predicate}"
                );
            }
        }
        assert!(holds("<inf", 1) && holds(">-inf", i64::MIN) && holds("<inf", f64::MAX));
    }

    #[test]
    fn large_integers_are_compared_exactly() {
        const LARGE: i64 = 9_007_199_254_740_993;
        assert!(holds(">9007199254740992.0", LARGE));
        assert!(holds("<=9007199254740992.0", LARGE - 1));
        assert!(holds("<9223372036854775808", i64::MAX));
        assert!(holds(">=-9223372036854775808.0", i64::MIN));
        assert!(holds("<0.5", 0) && holds(">-0.5", 0) && holds(">=-0.0", 0) && holds("<=-0.0", 0));
    }

    #[test]
    fn texts_are_looked_into_and_nothing_else_is() {
        let check = |predicate: &str, field: Field, expected: bool| {
            assert_eq!(
                holds(predicate, field.clone()),
                expected,
                "{predicate} {field:?}"
            );
        };
        check("startsWith:ord", "order".into(), true);
        check("startsWith:der", "order".into(), false);
        check("endsWith:der", "order".into(), true);
        check("contains:rde", "order".into(), true);
        check("contains:", "order".into(), true);
        check("contains: rde", "order".into(), false);
        check("startsWith:1", Field::Int(1), false);
        for bad in ["", "10", "=10", "==10", "startswith:a", "starts", "~a"] {
            assert!(Predicate::parse(bad).is_err(), "{bad:?} passes");
        }
    }

    #[test]
    fn types_and_values_must_both_be_equal() {
        let tuple = |field: Field| Tuple::new([field]);
        let check = |wanted: FieldPattern, field: Field, expected: bool| {
            let matches = Pattern::new([wanted.clone()]).matches(&tuple(field.clone()));
            assert_eq!(matches, expected, "{wanted:?} {field:?}");
        };
        let exact = FieldPattern::Exact;
        check(exact(Field::Int(1)), Field::Int(1), true);
        check(exact(Field::Int(1)), Field::Float(1.0), false);
        check(exact(Field::Int(1)), "1".into(), false);
        check(exact(Field::Null), Field::Null, true);
        check(exact(Field::Null), Field::Bool(false), false);
        check(exact(Field::Float(f64::NAN)), Field::Float(-f64::NAN), true);
        check(exact(Field::Float(0.0)), Field::Float(-0.0), true);
        check(
            exact(Field::Bytes([1].into())),
            Field::Bytes([1].into()),
            true,
        );
        check(FieldPattern::Any, Field::Null, true);
        check(FieldPattern::Typed(FieldType::Int), Field::Int(0), true);
        check(
            FieldPattern::Typed(FieldType::Int),
            Field::Float(0.0),
            false,
        );
        check(FieldPattern::Typed(FieldType::Null), Field::Null, true);
        check(FieldPattern::Typed(FieldType::Tuple), Field::Null, false);
    }

    #[test]
    fn only_tuples_of_its_own_length_match() {
        let any = |arity: usize| Pattern::new(vec![FieldPattern::Any; arity]);
        let nulls = |arity: usize| Tuple::new(vec![Field::Null; arity]);
        assert!(any(0).matches(&nulls(0)) && any(2).matches(&nulls(2)));
        assert!(
            !any(1).matches(&nulls(2)) && !any(2).matches(&nulls(1)) && !any(0).matches(&nulls(1))
        );
    }
}
