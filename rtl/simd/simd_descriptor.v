`default_nettype none

// The fields of a layer's descriptor word: the one place in the Verilog that says where each of them lies. What they
// mean: docs/memory-image.md. Combinational; `fixed` is high where the magic byte and the bits without a field are right.
module simd_descriptor (
    input  wire [127:0] word,
    output wire         fixed,
    output wire         token_mixing,
    output wire         affine,
    output wire         add,
    output wire         res_affine,
    output wire         pool,
    output wire         first,
    output wire         last,
    output wire [  1:0] next,
    output wire [  1:0] rule,
    output wire [  3:0] points_log2,
    output wire [  3:0] pool_shift,
    output wire [ 15:0] tokens,
    output wire [ 15:0] in_groups,
    output wire [ 15:0] groups,
    output wire [ 31:0] words,
    output wire [ 15:0] number
);

  localparam [7:0] MAGIC = 8'hD5;

  // Lowest bit of each field.
  localparam MAGIC_BIT = 0;
  localparam TOKEN_MIXING_BIT = 8;
  localparam AFFINE_BIT = 9;
  localparam ADD_BIT = 10;
  localparam RES_AFFINE_BIT = 11;
  localparam POOL_BIT = 12;
  localparam FIRST_BIT = 13;
  localparam LAST_BIT = 14;
  localparam ZERO_BIT = 15;
  localparam NEXT_BIT = 16;
  localparam RULE_BIT = 18;
  localparam POINTS_LOG2_BIT = 20;
  localparam POOL_SHIFT_BIT = 24;
  localparam ZEROS_BIT = 28;
  localparam TOKENS_BIT = 32;
  localparam IN_GROUPS_BIT = 48;
  localparam GROUPS_BIT = 64;
  localparam WORDS_BIT = 80;
  localparam NUMBER_BIT = 112;

  assign fixed = word[MAGIC_BIT+:8] == MAGIC && !word[ZERO_BIT] && word[ZEROS_BIT+:4] == 4'd0;
  assign token_mixing = word[TOKEN_MIXING_BIT];
  assign affine = word[AFFINE_BIT];
  assign add = word[ADD_BIT];
  assign res_affine = word[RES_AFFINE_BIT];
  assign pool = word[POOL_BIT];
  assign first = word[FIRST_BIT];
  assign last = word[LAST_BIT];
  assign next = word[NEXT_BIT+:2];
  assign rule = word[RULE_BIT+:2];
  assign points_log2 = word[POINTS_LOG2_BIT+:4];
  assign pool_shift = word[POOL_SHIFT_BIT+:4];
  assign tokens = word[TOKENS_BIT+:16];
  assign in_groups = word[IN_GROUPS_BIT+:16];
  assign groups = word[GROUPS_BIT+:16];
  assign words = word[WORDS_BIT+:32];
  assign number = word[NUMBER_BIT+:16];

endmodule

`default_nettype wire
