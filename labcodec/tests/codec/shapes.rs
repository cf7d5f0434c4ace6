//! The values the tests send around: between them every shape serde knows, and how proptest draws them.

use std::collections::{BTreeMap, HashMap};

use proptest::collection::{btree_map, hash_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Like a log entry: an integer and bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) term: u64,
    #[serde(with = "serde_bytes")]
    pub(crate) command: Vec<u8>,
}

/// Every kind of variant, one of them recursive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Tree {
    Nothing,
    Name(String),
    Pair(i32, Option<char>),
    Branch { label: String, children: Vec<Tree> },
    Boxed(Box<Tree>),
    Map(BTreeMap<u16, Tree>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Index(pub(crate) u64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Everything {
    pub(crate) flag: bool,
    pub(crate) signed: (i8, i16, i32, i64, i128),
    pub(crate) unsigned: (u8, u16, u32, u64, u128, usize),
    pub(crate) letter: char,
    pub(crate) text: String,
    pub(crate) bytes: ByteBuf,
    pub(crate) plain_bytes: Vec<u8>,
    pub(crate) options: Option<Option<Index>>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) map: BTreeMap<String, Option<u64>>,
    pub(crate) hash_map: HashMap<Index, (String, u8)>,
    pub(crate) array: [u16; 3],
    pub(crate) result: Result<u8, String>,
    pub(crate) unit: ((), Unit),
    pub(crate) tree: Tree,
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    (any::<u64>(), vec(any::<u8>(), 0..40)).prop_map(|(term, command)| Entry { term, command })
}

pub(crate) fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Nothing),
        text().prop_map(Tree::Name),
        (any::<i32>(), option::of(any::<char>())).prop_map(|(number, letter)| Tree::Pair(number, letter)),
    ];
    leaf.prop_recursive(5, 30, 4, |tree| {
        prop_oneof![
            (text(), vec(tree.clone(), 0..4)).prop_map(|(label, children)| Tree::Branch { label, children }),
            tree.clone().prop_map(|tree| Tree::Boxed(Box::new(tree))),
            btree_map(any::<u16>(), tree, 0..4).prop_map(Tree::Map),
        ]
    })
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..12).prop_map(|letters| letters.into_iter().collect())
}

pub(crate) fn everything() -> impl Strategy<Value = Everything> {
    let numbers =
        (any::<bool>(), any::<(i8, i16, i32, i64, i128)>(), any::<(u8, u16, u32, u64, u128, usize)>());
    let texts = (any::<char>(), text(), vec(any::<u8>(), 0..60), vec(any::<u8>(), 0..60));
    let parts = (option::of(option::of(any::<u64>().prop_map(Index))), vec(entry(), 0..5), any::<[u16; 3]>());
    let maps = (
        btree_map(text(), option::of(any::<u64>()), 0..5),
        hash_map(any::<u64>().prop_map(Index), (text(), any::<u8>()), 0..5),
    );
    let result = prop_oneof![any::<u8>().prop_map(Ok), text().prop_map(Err)];
    (numbers, texts, parts, maps, result, tree()).prop_map(
        |(
            (flag, signed, unsigned),
            (letter, text, bytes, plain_bytes),
            (options, entries, array),
            (map, hash_map),
            result,
            tree,
        )| Everything {
            flag,
            signed,
            unsigned,
            letter,
            text,
            bytes: ByteBuf::from(bytes),
            plain_bytes,
            options,
            entries,
            map,
            hash_map,
            array,
            result,
            unit: ((), Unit),
            tree,
        },
    )
}
