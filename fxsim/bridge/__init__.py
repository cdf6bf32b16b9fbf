"""Between float and integers: what quantisation and table compression cost, with every difference attributed."""
