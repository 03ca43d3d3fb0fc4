# Debian builds no gpio-sim: out of tree, from linux-source, against linux-headers.  irq_sim comes along, for the same reason.
obj-m := gpio-sim.o
gpio-sim-y := gpio-sim-main.o irq_sim.o
