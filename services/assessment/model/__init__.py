"""Tables of the read model, and the rules that turn what is known into daily counts."""
