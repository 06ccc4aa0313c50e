"""identity — 统一身份认证: who acts."""
