"""A DesiredState and an ActualState in; a Plan, and what people read of it, out. Pure."""
