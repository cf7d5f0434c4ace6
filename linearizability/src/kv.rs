use crate::general::ModelProcedure;
use crate::models::{KvInput, KvStore};
use crate::part::Part;
use crate::text::Text;
pub(crate) type KvProcedure<'a> = ModelProcedure<'a, KvStore>;
impl<'a> KvProcedure<'a> {
    pub(crate) fn dummy(part: Part<'a, KvInput, Text>) -> Self {
        ModelProcedure::new(&KvStore, part)
    }
}
