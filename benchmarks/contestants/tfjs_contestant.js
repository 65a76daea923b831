// TensorFlow.js in Node (TFJS_BACKEND=cpu or wasm): fit, trainOnBatch, predict and square products. It prints what protocol.py describes.
'use strict';
const path = require('path');
const tf = require('@tensorflow/tfjs');
const backend = process.env.TFJS_BACKEND || 'wasm';
const given = (name, otherwise) => { const at = process.argv.indexOf('--' + name); return at < 0 ? otherwise : process.argv[at + 1]; };
const budget = Number(given('budget', 0.3)), threads = Number(given('threads', 1));
const print = object => process.stdout.write(JSON.stringify(object) + '\n');
console.warn = () => {};

const TRAIN = {
  gd: ['linear', 4, 'sgd'], lstm_tiny: ['lstm_tiny', 2, 'adam', 16], mlp_b32: ['mlp', 32, 'sgd', 128], mlp_b128: ['mlp', 128, 'sgd', 128],
  cnn_small_sgd: ['cnn_small', 64, 'sgd'], cnn_small_adam: ['cnn_small', 64, 'adam'], cnn: ['cnn', 128, 'adam'],
  gru_b32: ['gru', 32, 'adam', 64], gru_b128: ['gru', 128, 'adam', 64], lstm: ['lstm', 128, 'adam', 128],
};
const isFullBatch = model => model === 'linear' || model === 'lstm_tiny';
const clock = () => performance.now() / 1000;

function modelOf(name, units) {
  const model = tf.sequential();
  if (name === 'linear') model.add(tf.layers.dense({ units: 1, inputShape: [4] }));
  else if (name === 'lstm_tiny') { model.add(tf.layers.lstm({ units, inputShape: [1, 1] })); model.add(tf.layers.dense({ units: 1 })); }
  else if (name === 'mlp') { model.add(tf.layers.flatten({ inputShape: [28, 28] })); model.add(tf.layers.dense({ units, activation: 'relu' })); }
  else if (name.startsWith('cnn')) {
    const [kernelSize, first, second] = name === 'cnn' ? [3, 32, 64] : [5, 8, 16];
    model.add(tf.layers.conv2d({ filters: first, kernelSize, activation: 'relu', inputShape: [28, 28, 1] }));
    model.add(tf.layers.maxPooling2d({ poolSize: 2, strides: 2 }));
    model.add(tf.layers.conv2d({ filters: second, kernelSize, activation: 'relu' }));
    model.add(tf.layers.maxPooling2d({ poolSize: 2, strides: 2 }));
    model.add(tf.layers.flatten());
    if (name === 'cnn') model.add(tf.layers.dropout({ rate: 0.5 }));
  } else model.add(tf.layers[name === 'gru' ? 'gru' : 'lstm']({ units, inputShape: [28, 28] }));
  if (!isFullBatch(name)) model.add(tf.layers.dense({ units: 10, activation: 'softmax' }));
  return model;
}

function compiled(name, units, optimizer) {
  const model = modelOf(name, units);
  model.compile({ optimizer: optimizer === 'sgd' ? tf.train.sgd(0.01) : tf.train.adam(0.001),
                  loss: isFullBatch(name) ? 'meanSquaredError' : 'categoricalCrossentropy' });
  return model;
}

function data(name, samples) {
  if (name === 'linear') return [tf.randomNormal([4, 4]), tf.randomNormal([4, 1])];
  if (name === 'lstm_tiny') return [tf.tensor3d([[[0.2]], [[0.8]]]), tf.tensor2d([[0.2], [0.8]])];
  const labels = tf.tidy(() => tf.oneHot(tf.randomUniform([samples], 0, 10, 'int32'), 10).toFloat());
  return [tf.randomUniform(name.startsWith('cnn') ? [samples, 28, 28, 1] : [samples, 28, 28]), labels];
}

// call() does `calls` units of work; a call that takes longer than the budget is timed once.
async function measure(row, variant, start, calls, seconds) {
  let began = clock();
  const call = await start();
  await call();
  const first = clock() - began;
  began = clock(); await call();
  const repeats = Math.max(1, Math.floor(0.01 / (clock() - began))), times = [], end = clock() + seconds;
  while (times.length < 3 || clock() < end) {
    began = clock();
    for (let i = 0; i < repeats; ++i) await call();
    times.push((clock() - began) / repeats / calls);
    if (times[0] * calls > 2 * seconds) break;
  }
  times.sort((a, b) => a - b);
  print({ row, variant, median: times[times.length >> 1], best: times[0], windows: times.length, first, first_steps: calls });
}

async function train(row) {
  const [name, batch, optimizer, units] = TRAIN[row], steps = isFullBatch(name) ? 20 : 8;
  await measure(row, 'fit', async () => {
    const model = compiled(name, units, optimizer), [x, y] = data(name, steps * batch);
    const how = isFullBatch(name) ? { epochs: steps, shuffle: false } : { epochs: 1 };
    return () => model.fit(x, y, { batchSize: batch, verbose: 0, ...how });
  }, steps, budget);
  await measure(row, 'trainOnBatch', async () => {
    const model = compiled(name, units, optimizer), [x, y] = data(name, batch);
    return () => model.trainOnBatch(x, y);
  }, 1, budget);
}

async function infer(row) {
  const [, name, batch] = row.match(/infer_(\w+)_b(\d+)/);
  const model = modelOf(name, name === 'mlp' ? 128 : 64), x = data(name, Number(batch))[0];
  await measure(row, 'predict', async () => () => tf.tidy(() => model.predict(x, { batchSize: Number(batch) }).dataSync()), 1, budget / 3);
}

async function product(row) {
  const n = Number(row.slice(3)), a = tf.randomNormal([n, n]), b = tf.randomNormal([n, n]);
  const operands = { nn: [false, false], nt: [false, true], tn: [true, false] };
  for (const [op, [ta, tb]] of Object.entries(operands))
    await measure(`${row}.${op}`, backend, async () => () => tf.tidy(() => a.matMul(b, ta, tb).dataSync()), 1, budget / 3);
}

async function coldStart() {
  const [name, batch, optimizer, units] = TRAIN.mlp_b32, model = compiled(name, units, optimizer), [x, y] = data(name, 60000);
  await model.fit(x, y, { batchSize: batch, epochs: 1, verbose: 0 });
  print({ done: true });
}

async function main() {
  if (backend === 'wasm') {
    const wasm = require('@tensorflow/tfjs-backend-wasm');
    wasm.setWasmPaths(path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + path.sep);
    wasm.setThreadsCount(threads);
  }
  await tf.setBackend(backend);
  await tf.ready();
  print({ versions: { tfjs: tf.version.tfjs, backend: tf.getBackend(), node: process.version } });
  if (given('task', 'run') === 'cold_start') return coldStart();
  for (const row of given('rows', '').split(',')) {
    const work = TRAIN[row] ? train : row.startsWith('infer_') ? infer : /^mm_\d+$/.test(row) ? product : null;
    try { if (work) await work(row); }
    catch (error) { process.stderr.write(`# ${row}: ${String(error).slice(0, 300)}\n`); print({ row, variant: backend, error: String(error).slice(0, 200) }); }
  }
}
main();
