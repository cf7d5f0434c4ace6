//! [`Bounded`]: keeps encoding within the limit on depth, whatever the format.
//!
//! A value nested too deep would overflow the stack of the thread that encodes it, or be one that no one can decode.
//! `Bounded` stands between the types and the format as its counterpart in [`crate::de`] does, and counts the
//! same levels: what is encoded within a limit on depth is decoded within it.

use std::cell::Cell;

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// A value or what encodes it, with the levels that are left.
pub(crate) struct Bounded<'a, T> {
    inner: T,
    levels_left: usize,
    /// Set when there were too few, because the format's error can carry nothing but text.
    too_deep: &'a Cell<bool>,
}

impl<'a, T> Bounded<'a, T> {
    pub(crate) fn new(inner: T, max_depth: usize, too_deep: &'a Cell<bool>) -> Self {
        Bounded { inner, levels_left: max_depth, too_deep }
    }

    /// Wraps something else of the same value.
    #[inline]
    fn with<U>(&self, inner: U) -> Bounded<'a, U> {
        Bounded { inner, levels_left: self.levels_left, too_deep: self.too_deep }
    }
}

impl<'a, S: Serializer> Bounded<'a, S> {
    /// Goes one level down.
    #[inline]
    fn enter(self) -> Result<Self, S::Error> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Bounded { levels_left, ..self }),
            None => Err(self.refuse()),
        }
    }

    #[cold]
    fn refuse(&self) -> S::Error {
        self.too_deep.set(true);
        S::Error::custom("")
    }

    /// Goes one level down, to the parts of what `open` begins.
    #[inline]
    fn open<U>(self, open: impl FnOnce(S) -> Result<U, S::Error>) -> Result<Bounded<'a, U>, S::Error> {
        let Bounded { inner, levels_left, too_deep } = self.enter()?;
        Ok(Bounded { inner: open(inner)?, levels_left, too_deep })
    }
}

impl<T: Serialize + ?Sized> Serialize for Bounded<'_, &T> {
    #[inline]
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        self.inner.serialize(self.with(inner))
    }
}

macro_rules! pass_on {
    ($($method:ident($($type:ty)?))*) => {$(
        #[inline]
        fn $method(self $(, value: $type)?) -> Result<S::Ok, S::Error> {
            self.inner.$method($({ let value: $type = value; value })?)
        }
    )*};
}

impl<'a, S: Serializer> Serializer for Bounded<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Bounded<'a, S::SerializeSeq>;
    type SerializeTuple = Bounded<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Bounded<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Bounded<'a, S::SerializeTupleVariant>;
    type SerializeMap = Bounded<'a, S::SerializeMap>;
    type SerializeStruct = Bounded<'a, S::SerializeStruct>;
    type SerializeStructVariant = Bounded<'a, S::SerializeStructVariant>;

    pass_on! {
        serialize_bool(bool) serialize_char(char) serialize_unit() serialize_unit_struct(&'static str)
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
        serialize_f32(f32) serialize_f64(f64) serialize_str(&str) serialize_bytes(&[u8])
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.enter()?.inner.serialize_none()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let this = self.enter()?;
        let value = this.with(value);
        this.inner.serialize_some(&value)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let this = self.enter()?;
        let value = this.with(value);
        this.inner.serialize_newtype_struct(name, &value)
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.enter()?.inner.serialize_unit_variant(name, index, variant)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let this = self.enter()?;
        let value = this.with(value);
        this.inner.serialize_newtype_variant(name, index, variant, &value)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.open(|inner| inner.serialize_seq(len))
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.open(|inner| inner.serialize_tuple(len))
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.open(|inner| inner.serialize_tuple_struct(name, len))
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.open(|inner| inner.serialize_tuple_variant(name, index, variant, len))
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.open(|inner| inner.serialize_map(len))
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        self.open(|inner| inner.serialize_struct(name, len))
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.open(|inner| inner.serialize_struct_variant(name, index, variant, len))
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Implements a trait for the parts of a value: each part is wrapped.
macro_rules! wrap_parts {
    ($($trait:ident { $($method:ident($($key:ident)?))* })*) => {$(
        impl<S: $trait> $trait for Bounded<'_, S> {
            type Ok = S::Ok;
            type Error = S::Error;

            $(#[inline]
            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $($key: &'static str,)?
                value: &T,
            ) -> Result<(), S::Error> {
                let value = self.with(value);
                self.inner.$method($($key,)? &value)
            })*

            #[inline]
            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        }
    )*};
}

wrap_parts! {
    SerializeSeq { serialize_element() }
    SerializeTuple { serialize_element() }
    SerializeTupleStruct { serialize_field() }
    SerializeTupleVariant { serialize_field() }
    SerializeMap { serialize_key() serialize_value() }
    SerializeStruct { serialize_field(key) }
    SerializeStructVariant { serialize_field(key) }
}
