//! Made by `selvedge build`; changes are written over.
selvedge_{{adapter}}::module!({{handlers}});
