//! `meshd check`.
