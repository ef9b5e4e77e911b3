//! A tuple: its fields in order, and when two of them are equal.

use std::hash::{Hash, Hasher};
use std::mem::size_of;
use std::sync::Arc;

/// One field. Equal fields have the same type and the same value: the integer 1 is not the float 1.0. A float that is
/// not a number equals every other such, so that a tuple which holds one can be found again; 0.0 equals -0.0.
#[derive(Clone, Debug)]
pub enum Field {
    String(Box<str>),
    Int(i64),
    Float(f64),
    Bytes(Box<[u8]>),
    Bool(bool),
    Null,
}

/// The type of a field. No field is a tuple, so nothing has that type.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum FieldType {
    String,
    Int,
    Float,
    Bytes,
    Bool,
    Null,
    Tuple,
}

/// Fields in order, shared by all who hold the tuple.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tuple(Arc<[Field]>);

impl Tuple {
    pub fn new(fields: impl Into<Arc<[Field]>>) -> Self {
        Self(fields.into())
    }

    pub fn fields(&self) -> &[Field] {
        &self.0
    }

    /// How many fields it has.
    pub fn arity(&self) -> usize {
        self.0.len()
    }

    /// The bytes of its fields.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Field::bytes).sum()
    }

    /// What it takes of the budget: its fields, and the room that keeping and finding it takes.
    pub fn weight(&self) -> usize {
        const BOOKKEEPING: usize = 192;
        BOOKKEEPING + self.bytes()
    }
}

impl Field {
    pub fn field_type(&self) -> FieldType {
        match self {
            Self::String(_) => FieldType::String,
            Self::Int(_) => FieldType::Int,
            Self::Float(_) => FieldType::Float,
            Self::Bytes(_) => FieldType::Bytes,
            Self::Bool(_) => FieldType::Bool,
            Self::Null => FieldType::Null,
        }
    }

    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::String(text) => text.len(),
                Self::Bytes(bytes) => bytes.len(),
                Self::Int(_) | Self::Float(_) | Self::Bool(_) | Self::Null => 0,
            }
    }
}

/// The one form of a float that stands for all that equal it.
fn canonical(float: f64) -> u64 {
    if float.is_nan() {
        f64::NAN.to_bits()
    } else if float == 0.0 {
        0
    } else {
        float.to_bits()
    }
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::String(one), Self::String(other)) => one == other,
            (Self::Int(one), Self::Int(other)) => one == other,
            (Self::Float(one), Self::Float(other)) => canonical(*one) == canonical(*other),
            (Self::Bytes(one), Self::Bytes(other)) => one == other,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Null, Self::Null) => true,
            _ => false,
        }
    }
}

impl Eq for Field {}

impl Hash for Field {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        std::mem::discriminant(self).hash(hasher);
        match self {
            Self::String(text) => text.hash(hasher),
            Self::Int(number) => number.hash(hasher),
            Self::Float(number) => canonical(*number).hash(hasher),
            Self::Bytes(bytes) => bytes.hash(hasher),
            Self::Bool(truth) => truth.hash(hasher),
            Self::Null => {}
        }
    }
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<i64> for Field {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Field {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}
