"""Several worker processes behind one port: a supervisor starts them, replaces them, and speaks HTTP for them."""
