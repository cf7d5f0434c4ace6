//! [`Bounded`]: keeps decoding within the limits on memory and depth, whatever the format.
//!
//! Serde walks a value as a conversation: a type asks the [`Deserializer`] for what it expects and hands it a
//! [`Visitor`], which is handed access to the parts, which asks with a seed for each part. `Bounded` stands
//! between the two, wraps what either side hands over, and settles the account on the way:
//!
//! - a value made of parts, a string and bytes cost the size of the type they become (known at each level as
//!   `Visitor::Value`, so that a large variant is paid for even where it is boxed), strings and bytes their
//!   length too (where they are read);
//! - elements of sequences and maps cost their size once more, for the container's storage;
//! - nothing costs less than [`LEAST_COST`], so that many nothings come to an end.
//!
//! Primitives are passed on untouched: what holds them has paid for them.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use crate::DecodeError;
use crate::input::Input;

/// What the smallest value costs, in bytes. Less would let a list of `u8` (a node each), a set of `u128` (which grows by
/// doubling and moving) or a vector of boxed integers take more than the promised four times what was charged.
const LEAST_COST: usize = 16;

/// Down to which depth a container learns how many elements it is about to get, to reserve room for them.
/// serde reserves up to 1 MiB on a mere promise; this bounds how many unkept promises can be open at a time.
const HINTED_DEPTH: usize = 8;

const fn cost<T>() -> usize {
    if size_of::<T>() > LEAST_COST { size_of::<T>() } else { LEAST_COST }
}

/// One side of the conversation, with the account of the value being decoded.
pub(crate) struct Bounded<'i, 'de, T> {
    inner: T,
    input: &'i Input<'de>,
    /// How many values made of parts this one is nested in, itself included.
    depth: usize,
    parts: Parts,
}

/// What the value that is being decoded is made of.
#[derive(Clone, Copy)]
enum Parts {
    /// Parts that lie within the value and are paid with it.
    Fields,
    /// Any number of parts, stored elsewhere.
    Elements,
    /// The parts of one variant of the enum of this name.
    Variant(&'static str),
}

impl<'i, 'de, T> Bounded<'i, 'de, T> {
    pub(crate) fn new(inner: T, input: &'i Input<'de>) -> Self {
        Bounded { inner, input, depth: 0, parts: Parts::Fields }
    }

    /// Wraps something else of the same value.
    #[inline]
    fn with<U>(&self, inner: U) -> Bounded<'i, 'de, U> {
        Bounded { inner, input: self.input, depth: self.depth, parts: self.parts }
    }

    /// Goes one level down, to a value visited by `visitor`, and pays for it.
    #[inline]
    fn enter<V: Visitor<'de>, E: Error>(&self, visitor: V, parts: Parts) -> Result<Bounded<'i, 'de, V>, E> {
        let limit = self.input.limits().max_depth;
        if self.depth >= limit {
            return Err(self.input.fail(DecodeError::TooDeep { offset: self.input.offset(), limit }));
        }
        self.input.spend(cost::<V::Value>())?;
        Ok(Bounded { inner: visitor, input: self.input, depth: self.depth + 1, parts })
    }

    /// Pays for an element, if it is stored apart from the value it is part of.
    #[inline]
    fn spend_element<U, E: Error>(&self) -> Result<(), E> {
        match self.parts {
            Parts::Elements => self.input.spend(cost::<U>()),
            Parts::Fields | Parts::Variant(_) => Ok(()),
        }
    }

    /// How many elements a container may reserve room for.
    #[inline]
    fn hint(&self, promised: Option<usize>) -> Option<usize> {
        let reserve = |promised: usize| promised.min(self.input.left());
        promised.filter(|_| self.depth <= HINTED_DEPTH).map(reserve)
    }
}

macro_rules! pass_on {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<'_, 'de, D> {
    type Error = D::Error;

    pass_on! {
        deserialize_bool deserialize_char deserialize_unit
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.input.spend(cost::<V::Value>())?;
        self.inner.deserialize_str(visitor)
    }

    /// As `deserialize_str`: who takes a `String` takes a `&str` and copies it, and there the reader sees where it
    /// is not UTF-8.
    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.input.spend(cost::<V::Value>())?;
        self.inner.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.input.spend(cost::<V::Value>())?;
        self.inner.deserialize_byte_buf(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.enter(visitor, Parts::Fields)?;
        self.inner.deserialize_option(visitor)
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.enter(visitor, Parts::Fields)?;
        self.inner.deserialize_newtype_struct(name, visitor)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.enter(visitor, Parts::Elements)?;
        self.inner.deserialize_seq(visitor)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.enter(visitor, Parts::Fields)?;
        self.inner.deserialize_tuple(len, visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.enter(visitor, Parts::Fields)?;
        self.inner.deserialize_tuple_struct(name, len, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.enter(visitor, Parts::Elements)?;
        self.inner.deserialize_map(visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.enter(visitor, Parts::Fields)?;
        self.inner.deserialize_struct(name, fields, visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.enter(visitor, Parts::Variant(name))?;
        self.inner.deserialize_enum(name, variants, visitor)
    }

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, D::Error> {
        Err(self.input.fail(DecodeError::NotSelfDescribing { offset: self.input.offset() }))
    }

    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_any(visitor)
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_any(visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Bounded<'_, 'de, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    #[inline]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    #[inline]
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let inner = self.with(inner);
        self.inner.visit_some(inner)
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let inner = self.with(inner);
        self.inner.visit_newtype_struct(inner)
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let inner = self.with(inner);
        self.inner.visit_seq(inner)
    }

    #[inline]
    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let inner = self.with(inner);
        self.inner.visit_map(inner)
    }

    #[inline]
    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let inner = self.with(inner);
        self.inner.visit_enum(inner)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Bounded<'_, 'de, S> {
    type Value = S::Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        let inner = self.with(inner);
        self.inner.deserialize(inner)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Bounded<'_, 'de, A> {
    type Error = A::Error;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.with(seed);
        let element = self.inner.next_element_seed(seed)?;
        if element.is_some() {
            self.spend_element::<S::Value, _>()?;
        }
        Ok(element)
    }

    fn size_hint(&self) -> Option<usize> {
        self.hint(self.inner.size_hint())
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Bounded<'_, 'de, A> {
    type Error = A::Error;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.with(seed);
        let key = self.inner.next_key_seed(seed)?;
        if key.is_some() {
            self.spend_element::<S::Value, _>()?;
        }
        Ok(key)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.with(seed);
        let value = self.inner.next_value_seed(seed)?;
        self.spend_element::<S::Value, _>()?;
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        self.hint(self.inner.size_hint())
    }
}

impl<'i, 'de, A: EnumAccess<'de>> EnumAccess<'de> for Bounded<'i, 'de, A> {
    type Error = A::Error;
    type Variant = Bounded<'i, 'de, A::Variant>;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let Bounded { inner, input, depth, parts } = self;
        let offset = input.offset();
        match inner.variant_seed(seed) {
            Ok((variant, inner)) => Ok((variant, Bounded { inner, input, depth, parts })),
            Err(error) => {
                // Too short an input is recorded already; else the number was read and the enum refused it.
                if let Parts::Variant(name) = parts {
                    input.record(DecodeError::UnknownVariant { offset, name, reason: error.to_string() });
                }
                Err(error)
            }
        }
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Bounded<'_, 'de, A> {
    type Error = A::Error;

    #[inline]
    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.with(seed);
        self.inner.newtype_variant_seed(seed)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor);
        self.inner.tuple_variant(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}
