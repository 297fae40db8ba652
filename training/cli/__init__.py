"""What the commands share: options, help texts and output."""
