//! Made by `selvedge build`; changes are written over.
selvedge_js::module!({{handlers}});
