"""The checks of `doorward doctor`, one module for each part. A check returns findings and changes nothing."""
