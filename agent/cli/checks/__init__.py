"""What `doorward doctor` looks at, one module for each thing; each check answers with findings and changes nothing."""
