"""What clients do with opened media: joining, contact sheets, and opening what strangers sent in a confined process."""
