"""exchange — 数据共享交换: with bureaus, region and private networks."""
