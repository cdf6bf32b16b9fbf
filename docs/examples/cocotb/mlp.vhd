-- y(n) = sat8(round_shift(sum of x(k) * weight(n, k), shift(n)) + bias(n)); with RELU, of max(x(k), 0).
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use std.textio.all;

entity layer is
  generic (
    INPUTS  : positive;
    OUTPUTS : positive;
    RELU    : boolean;
    ROM     : string
  );
  port (
    clk      : in  std_logic;
    rst      : in  std_logic;
    s_tdata  : in  std_logic_vector(8 * INPUTS - 1 downto 0);
    s_tvalid : in  std_logic;
    s_tlast  : in  std_logic;
    s_tready : out std_logic;
    m_tdata  : out std_logic_vector(8 * OUTPUTS - 1 downto 0);
    m_tvalid : out std_logic;
    m_tlast  : out std_logic;
    m_tready : in  std_logic
  );
end entity;

architecture rtl of layer is
  type bytes is array (natural range <>) of std_logic_vector(7 downto 0);

  impure function read_rom(name : string; words : positive) return bytes is
    file rom_file  : text open read_mode is ROM & "_" & name & ".hex";
    variable row   : line;
    variable found : bytes(0 to words - 1);
  begin
    for i in found'range loop
      readline(rom_file, row);
      hread(row, found(i));
    end loop;
    return found;
  end function;

  constant weight : bytes := read_rom("weight", INPUTS * OUTPUTS);
  constant bias   : bytes := read_rom("bias", OUTPUTS);
  constant shift  : bytes := read_rom("shift", OUTPUTS);
begin
  s_tready <= not m_tvalid or m_tready;

  process (clk)
    variable acc : signed(31 downto 0);
    variable x   : signed(7 downto 0);
  begin
    if rising_edge(clk) then
      if rst = '1' then
        m_tvalid <= '0';
      elsif s_tready = '1' then
        m_tvalid <= s_tvalid;
        m_tlast  <= s_tlast;
      end if;
      if rst = '0' and s_tready = '1' and s_tvalid = '1' then
        for n in 0 to OUTPUTS - 1 loop
          acc := (others => '0');
          for k in 0 to INPUTS - 1 loop
            x := signed(s_tdata(8 * k + 7 downto 8 * k));
            if not RELU or x > 0 then
              acc := acc + x * signed(weight(INPUTS * n + k));
            end if;
          end loop;
          -- One zero below, so that the last bit shifted out is the rounding bit.
          acc := shift_right(acc(30 downto 0) & '0', to_integer(unsigned(shift(n))));
          acc := shift_right(acc, 1) + ("0" & acc(0)) + signed(bias(n));
          if acc > 127 then
            acc := to_signed(127, 32);
          elsif acc < -128 then
            acc := to_signed(-128, 32);
          end if;
          m_tdata(8 * n + 7 downto 8 * n) <= std_logic_vector(acc(7 downto 0));
        end loop;
      end if;
    end if;
  end process;
end architecture;

-- A network of two layers, one token a beat: fc1, ReLU, fc2. AXI4-Stream in and out; tlast ends an image.
library ieee;
use ieee.std_logic_1164.all;

entity mlp is
  port (
    clk           : in  std_logic;
    rst           : in  std_logic;
    s_axis_tdata  : in  std_logic_vector(31 downto 0);
    s_axis_tvalid : in  std_logic;
    s_axis_tlast  : in  std_logic;
    s_axis_tready : out std_logic;
    m_axis_tdata  : out std_logic_vector(23 downto 0);
    m_axis_tvalid : out std_logic;
    m_axis_tlast  : out std_logic;
    m_axis_tready : in  std_logic
  );
end entity;

architecture structure of mlp is
  signal fc1_tdata                          : std_logic_vector(31 downto 0);
  signal fc1_tvalid, fc1_tlast, fc1_tready : std_logic;
begin
  fc1 : entity work.layer
    generic map (INPUTS => 4, OUTPUTS => 4, RELU => false, ROM => "fc1")
    port map (
      clk => clk, rst => rst,
      s_tdata => s_axis_tdata, s_tvalid => s_axis_tvalid, s_tlast => s_axis_tlast, s_tready => s_axis_tready,
      m_tdata => fc1_tdata, m_tvalid => fc1_tvalid, m_tlast => fc1_tlast, m_tready => fc1_tready
    );

  fc2 : entity work.layer
    generic map (INPUTS => 4, OUTPUTS => 3, RELU => true, ROM => "fc2")
    port map (
      clk => clk, rst => rst,
      s_tdata => fc1_tdata, s_tvalid => fc1_tvalid, s_tlast => fc1_tlast, s_tready => fc1_tready,
      m_tdata => m_axis_tdata, m_tvalid => m_axis_tvalid, m_tlast => m_axis_tlast, m_tready => m_axis_tready
    );
end architecture;
