"""What real Docker made of stack files, beside what we make of them: `make parity`. The files stay where they are."""
