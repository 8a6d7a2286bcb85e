//! Made by `selvedge build`; changes are written over.
selvedge_spin::component!({{handlers}});
