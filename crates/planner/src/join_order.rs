//! Orders inner joins by estimated sizes, which DataFusion does not.
