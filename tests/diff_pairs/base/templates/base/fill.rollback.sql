UPDATE orders SET filled = false WHERE filled;
