`timescale 1 ns / 1 ps

module logic1 (
    input [200:0] model_inp,
    output [42:0] model_out
);

    // verilator lint_off UNUSEDSIGNAL
    // Explicit quantization operation will drop bits if exists

    wire [15:0] v0; assign v0[15:0] = model_inp[15:0];
    wire [9:0] v1; assign v1[9:0] = model_inp[25:16];
    wire [12:0] v2; assign v2[12:0] = model_inp[38:26];
    wire [11:0] v3; assign v3[11:0] = model_inp[50:39];
    wire [13:0] v4; assign v4[13:0] = model_inp[64:51];
    wire [12:0] v5; assign v5[12:0] = model_inp[77:65];
    wire [13:0] v6; assign v6[13:0] = model_inp[91:78];
    wire [10:0] v7; assign v7[10:0] = model_inp[102:92];
    wire [11:0] v8; assign v8[11:0] = model_inp[114:103];
    wire [11:0] v9; assign v9[11:0] = model_inp[126:115];
    wire [13:0] v10; assign v10[13:0] = model_inp[140:127];
    wire [14:0] v11; assign v11[14:0] = model_inp[155:141];
    wire [15:0] v12; assign v12[15:0] = model_inp[171:156];
    wire [13:0] v13; assign v13[13:0] = model_inp[185:172];
    wire [14:0] v14; assign v14[14:0] = model_inp[200:186];
    wire [11:0] v15; shift_adder #(12,10,1,1,12,0,1,1) op_15 (v9[11:0],v1[9:0],v15[11:0]);
    wire [15:0] v16; shift_adder #(13,11,1,1,16,0,-3,1) op_16 (v5[12:0],v7[10:0],v16[15:0]);
    wire [15:0] v17; shift_adder #(14,14,1,1,16,0,2,1) op_17 (v4[13:0],v4[13:0],v17[15:0]);
    wire [14:0] v18; shift_adder #(14,16,1,1,15,0,0,1) op_18 (v10[13:0],v0[15:0],v18[14:0]);
    wire [15:0] v19; shift_adder #(16,12,1,1,16,0,1,1) op_19 (v12[15:0],v8[11:0],v19[15:0]);
    wire [15:0] v20; shift_adder #(15,13,1,1,16,0,1,1) op_20 (v14[14:0],v2[12:0],v20[15:0]);
    wire [16:0] v21; shift_adder #(14,12,1,1,17,0,-3,0) op_21 (v6[13:0],v15[11:0],v21[16:0]);
    wire [16:0] v22; shift_adder #(16,14,1,1,17,0,3,0) op_22 (v19[15:0],v13[13:0],v22[16:0]);
    wire [16:0] v23; shift_adder #(15,15,1,1,17,0,2,1) op_23 (v18[14:0],v11[14:0],v23[16:0]);
    wire [16:0] v24; shift_adder #(16,16,1,1,17,0,0,0) op_24 (v20[15:0],v16[15:0],v24[16:0]);
    wire [16:0] v25; shift_adder #(16,17,1,1,17,0,0,0) op_25 (v17[15:0],v21[16:0],v25[16:0]);
    wire [16:0] v26; shift_adder #(17,4,1,0,17,0,6,0) op_26 (v25[16:0],4'b1011,v26[16:0]);
    wire [7:0] v27; assign v27[7:0] = v26[14:7];
    wire [6:0] v28; assign v28[6:0] = v27[6:0] & {7{~v27[7]}};
    wire [16:0] v29; shift_adder #(17,12,1,1,17,0,0,1) op_29 (v22[16:0],v3[11:0],v29[16:0]);
    wire [16:0] v30; shift_adder #(17,2,1,0,17,0,6,1) op_30 (v29[16:0],2'b11,v30[16:0]);
    wire [7:0] v31; assign v31[7:0] = v30[14:7];
    wire [6:0] v32; assign v32[6:0] = v31[6:0] & {7{~v31[7]}};
    wire [14:0] v33; shift_adder #(7,7,0,0,15,0,-7,1) op_33 (v28[6:0],v32[6:0],v33[14:0]);
    wire [16:0] v34; shift_adder #(17,14,1,1,17,0,0,1) op_34 (v23[16:0],v13[13:0],v34[16:0]);
    wire [16:0] v35; shift_adder #(17,6,1,0,17,0,6,0) op_35 (v34[16:0],6'b111101,v35[16:0]);
    wire [7:0] v36; assign v36[7:0] = v35[14:7];
    wire [6:0] v37; assign v37[6:0] = v36[6:0] & {7{~v36[7]}};
    wire [16:0] v38; shift_adder #(17,12,1,1,17,0,2,1) op_38 (v24[16:0],v3[11:0],v38[16:0]);
    wire [16:0] v39; shift_adder #(17,6,1,0,17,0,6,1) op_39 (v38[16:0],6'b100001,v39[16:0]);
    wire [7:0] v40; assign v40[7:0] = v39[14:7];
    wire [6:0] v41; assign v41[6:0] = v40[6:0] & {7{~v40[7]}};

    // verilator lint_on UNUSEDSIGNAL

    assign model_out[6:0] = v28[6:0];
    assign model_out[13:7] = v32[6:0];
    assign model_out[28:14] = v33[14:0];
    assign model_out[35:29] = v37[6:0];
    assign model_out[42:36] = v41[6:0];

endmodule
