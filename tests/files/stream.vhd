-- Makes stream.ghw: ghdl -a stream.vhd && ghdl -r tb --wave=stream.ghw (GHDL 2.0.0)
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;

entity tb is
end;

architecture test of tb is
    type numbers is array (natural range <>) of integer;
    constant SENT : numbers := (0, 3, 5, 7, 11, 127, 0, 1);
    signal clk, valid, ready : std_logic := '0';
    signal data : signed(7 downto 0);
    signal done : boolean := false;
begin
    clk <= not clk after 5 ns when not done;

    process
    begin
        wait until rising_edge(clk);
        for i in SENT'range loop
            valid <= '1';
            ready <= '0';
            data <= to_signed(SENT(i), 8);
            wait until rising_edge(clk);
            ready <= '1';
            if i = 7 then
                data <= "LLL0000H"; -- a weak 1
            end if;
            wait until rising_edge(clk);
        end loop;
        valid <= '0';
        wait until rising_edge(clk);
        done <= true;
        wait;
    end process;
end;
